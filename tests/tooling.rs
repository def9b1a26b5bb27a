//! The support code keeps its own promises: what the other tests stand on holds.

mod dev;
mod gateway;
mod lambda;
mod measure;
pub mod migrations;
mod postgres;
mod secrets;
mod terminal;
