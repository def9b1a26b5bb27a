//! Secrets Manager fails, returns another value or rotates the secret, while a function with a key ring serves requests.

use testkit::{
    Harness, binary,
    faults::{vault, wire},
};

#[tokio::test]
async fn no_fault_or_rotation_of_the_secret_fails_a_request_with_a_valid_token() {
    for report in vault::run(&Harness::quiet(binary()), 1).await.unwrap() {
        assert!(report.tried > 0 && report.lost == 0, "{report}");
    }
}

/// Without a key ring, init does not hang, requests get 503 in time, and memory stays limited.
#[tokio::test]
async fn a_slow_truncated_or_endless_response_of_secrets_manager_fails_no_request_with_a_key_ring() {
    for report in wire::run(&Harness::quiet(binary()), 1).await.unwrap() {
        assert!(report.tried > 0 && report.lost == 0, "{report}");
    }
}
