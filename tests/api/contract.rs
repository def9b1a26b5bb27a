//! Every case of the contract, over HTTP, through the binary under a Lambda Runtime API.

use testkit::{
    Server,
    contract::{assert_every_vector, database},
};

#[tokio::test]
async fn every_vector_gets_its_expected_response() {
    let database = database(Server::shared()).await;
    assert_every_vector(database.url(), 1).await;
}
