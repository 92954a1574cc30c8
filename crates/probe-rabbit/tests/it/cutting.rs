//! Runs that are dropped leave nothing behind on the broker.

/// The promises of the contract drop runs as well.
mod slow {
    use probe_rabbit::KIND;
    use probe_testkit::cut_at_random;
    use stack::rabbit::Rabbit;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_thousand_runs_dropped_at_random_leave_nothing_behind() {
        let broker = Rabbit::start(&[]).unwrap();
        let before = broker.counts().unwrap();
        let toml = format!("url = '{}'\n", broker.admin_url());
        cut_at_random(KIND, "rabbit", toml, 1000).await;
        broker.wait_for(before).unwrap();
    }
}
