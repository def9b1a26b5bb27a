//! `cargo dev plan`: what a load needs and costs, from measured processor times, and whether a real load agrees.

mod check;
mod distance;
mod load;
mod prices;

use anyhow::{Context, Result};
use testkit::terminal;

use self::prices::Prices;
use crate::measure::{count, money};

/// What `cargo dev plan --measure` measured; docs/performance.md says when and where.
///
/// With unnamed statements, so the plan is an upper bound for direct connections.
const FIGURES: Figures = Figures {
    computed: Cost { request: 0.579, unnamed: 0.0, row: 0.0159, thousand_sessions: 0.103 },
    materialized: Cost { request: 0.809, unnamed: 0.0, row: 0.0089, thousand_sessions: 0.0 },
    function: Cost { request: 0.316, unnamed: 0.0, row: 0.0053, thousand_sessions: 0.0 },
};

/// The share of its processors that PostgreSQL uses at this load: above it, requests wait for each other.
const DATABASE_UTILISATION: f64 = 0.6;

/// The same of an environment on Managed Instances, which Lambda scales by their processors.
const INSTANCE_UTILISATION: f64 = 0.5;

/// Memory in MB with which Lambda gives a function one whole processor.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const MEMORY_OF_ONE_PROCESSOR: f64 = 1_769.0;

/// Lambda bills whole milliseconds.
const ROUNDED_UP_MS: f64 = 0.5;

/// The least that Lambda starts on Managed Instances: one for each zone.
const INSTANCES_MIN: f64 = 3.0;

/// Environments of 2,048 MB, with 2 GiB for each processor, on the smallest instance, which has two processors and 4 GiB.
/// The operating system needs some of both.
const ENVIRONMENTS_PER_INSTANCE: f64 = 1.0;

/// The largest default of `DATABASE_POOL_SIZE`.
const POOL_SIZE_MAX: u16 = 16;

/// Sessions of a response of `RESPONSE_KB`.
const PAGE_OF_RESPONSE: f64 = 50.0;

/// The processors of an instance of RDS, from db.m7g.large on.
const DATABASE_SIZES: [u32; 7] = [2, 4, 8, 16, 32, 48, 64];

#[derive(clap::Args)]
#[group(skip)]
pub struct PlanOptions {
    /// Requests a second, separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10, 100, 1_000], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rps: Vec<u32>,
    /// Sessions of the account that is listed
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    accounts: u32,
    /// Sessions on a page
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    page: u32,
    /// The database has the materialized counts
    #[arg(long)]
    counts: bool,
    /// Milliseconds from the function to the database and back
    #[arg(long, value_name = "MS", default_value_t = 1.0)]
    round_trip: f64,
    /// Events at a time of an environment on Managed Instances
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    #[command(flatten)]
    check: check::CheckOptions,
}

/// Milliseconds of processor time.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Of a request without rows.
    request: f64,
    /// Of a statement without a name, which is all that a pooler passes on.
    unnamed: f64,
    /// Of each session on the page.
    row: f64,
    /// Of counting 1,000 sessions of the account.
    thousand_sessions: f64,
}

impl Cost {
    pub fn of(self, page: u32, sessions: u32) -> f64 {
        self.request + self.row * f64::from(page) + self.thousand_sessions * f64::from(sessions) / 1e3
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// PostgreSQL's, with computed counts.
    computed: Cost,
    /// The same with materialized counts.
    materialized: Cost,
    function: Cost,
}

impl Figures {
    pub fn database(self, has_counts: bool) -> Cost {
        if has_counts { self.materialized } else { self.computed }
    }
}

/// Returns the processors of the smallest instance that has enough.
fn database_vcpus(cores: f64) -> Option<u32> {
    DATABASE_SIZES.into_iter().filter(|size| f64::from(*size) * DATABASE_UTILISATION >= cores).min()
}

/// How many of something are busy on average when `rate` a second take `milliseconds` each: Little's law.
pub fn busy(rate: f64, milliseconds: f64) -> f64 {
    rate * milliseconds / 1e3
}

/// How many are enough when `average` are busy: requests arrive independently, so that the number of busy ones has a
/// Poisson distribution, and three standard deviations above its average leave out one moment in a thousand.
fn enough(average: f64) -> f64 {
    (average + 3.0 * average.sqrt()).ceil().max(1.0)
}

/// What serves the requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compute {
    Classic,
    Managed,
    Proxy,
}

impl Compute {
    const ALL: [Self; 3] = [Self::Classic, Self::Managed, Self::Proxy];

    fn name(self) -> &'static str {
        match self {
            Self::Classic => "Lambda",
            Self::Managed => "Managed Instances",
            Self::Proxy => "Lambda, RDS Proxy",
        }
    }
}

/// What one load needs and costs.
struct Plan {
    environments: f64,
    /// Of PostgreSQL.
    connections: f64,
    /// Busy processors of PostgreSQL.
    cores: f64,
    /// Of its instance.
    vcpus: u32,
    /// In US dollars a month.
    lambda: f64,
    database: f64,
    rest: f64,
}

impl Plan {
    fn of(options: &PlanOptions, rps: u32, compute: Compute, prices: &Prices) -> Result<Self> {
        let (rate, page) = (f64::from(rps), options.page);
        let (database, function) = (FIGURES.database(options.counts), FIGURES.function);
        let unnamed = |cost: Cost| if compute == Compute::Proxy { cost.unnamed } else { 0.0 };
        let database_ms = database.of(page, options.accounts) + unnamed(database);
        let function_ms = function.of(page, options.accounts) + unnamed(function);
        let millions = rate * 3_600.0 * prices.get("HOURS")? / 1e6;
        let cores = busy(rate, database_ms);
        let vcpus = database_vcpus(cores).with_context(|| {
            format!("{rps} requests a second need {cores:.0} processors of PostgreSQL, more than one instance has")
        })?;
        let mut database_dollars = f64::from(vcpus) * prices.get("POSTGRESQL_VCPU_HOUR")? * prices.get("HOURS")?;
        let mut lambda = millions * prices.get("LAMBDA_REQUESTS")?;
        let waiting_ms = options.round_trip + database_ms;
        let (environments, mut connections);
        if compute == Compute::Managed {
            let concurrency = f64::from(options.concurrency);
            let by_events = enough(busy(rate, waiting_ms + function_ms)) / concurrency;
            let by_processor = busy(rate, function_ms) / INSTANCE_UTILISATION;
            environments = by_events.max(by_processor).ceil().max(INSTANCES_MIN);
            connections = environments * concurrency.min(f64::from(POOL_SIZE_MAX));
            let hour = prices.get("INSTANCE_HOUR")? * (1.0 + prices.get("MANAGEMENT_PERCENT")? / 100.0);
            lambda += environments / ENVIRONMENTS_PER_INSTANCE * hour * prices.get("HOURS")?;
        } else {
            let memory_gb = prices.get("MEMORY_GB")?;
            let duration_ms = waiting_ms + function_ms / (memory_gb * 1_024.0 / MEMORY_OF_ONE_PROCESSOR);
            environments = enough(busy(rate, duration_ms));
            connections = environments;
            let gb_seconds = millions * 1e3 * (duration_ms + ROUNDED_UP_MS) * memory_gb;
            lambda += gb_seconds * prices.get("LAMBDA_GB_SECOND")?;
        }
        if compute == Compute::Proxy {
            connections = enough(cores);
            database_dollars += f64::from(vcpus) * prices.get("PROXY_HOUR")? * prices.get("HOURS")?;
        }
        let response_gb = prices.get("RESPONSE_KB")? * f64::from(page) / PAGE_OF_RESPONSE;
        let log_gb = prices.get("LOG_KB")?;
        let rest = millions
            * (prices.get("HTTP_API")?
                + log_gb * (prices.get("LOGS_WRITTEN")? + prices.get("MONTHS_KEPT")? * prices.get("LOGS_KEPT")?)
                + response_gb * prices.get("TRAFFIC")?
                + prices.get("TRACED_PERCENT")? / 100.0 * prices.get("TRACES")?);
        Ok(Self { environments, connections, cores, vcpus, lambda, database: database_dollars, rest })
    }

    fn row(&self, rps: u32, compute: Compute) -> String {
        let Self { environments, connections, cores, vcpus, lambda, database, rest } = self;
        let together = lambda + database + rest;
        let cells = [
            count(rps),
            compute.name().to_owned(),
            environments.to_string(),
            connections.to_string(),
            format!("{cores:.2} of {vcpus}"),
            money(*lambda),
            money(*database),
            money(*rest),
            money(together),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

/// Prints the plan, or measures its figures, or compares it with a load.
pub async fn plan(options: PlanOptions) -> Result<()> {
    if options.check.is_load() {
        return check::check(&options.check).await;
    }
    let prices = Prices::read()?;
    terminal::out(
        "| requests a second | on | environments | connections | PostgreSQL processors | Lambda | PostgreSQL | the rest | USD a month |",
    );
    terminal::out("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for rps in &options.rps {
        for compute in Compute::ALL {
            terminal::out(Plan::of(&options, *rps, compute, &prices)?.row(*rps, compute));
        }
    }
    Ok(())
}
