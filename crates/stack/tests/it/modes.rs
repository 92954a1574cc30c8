//! The shared stack runs in one way at a time.

use stack::{Backends, Way, redis};

#[test]
fn the_stack_is_not_started_in_the_other_way_while_it_is_up() {
    redis::shared().unwrap();
    let redis = Backends::named(&["redis".to_owned()]);
    let refusals: Vec<_> = [Way::Native, Way::Compose]
        .into_iter()
        .filter_map(|way| stack::up(&redis, way).err())
        .map(|error| error.to_string())
        .collect();
    let [refusal] = refusals.as_slice() else { panic!("not one refusal: {refusals:?}") };
    assert!(refusal.starts_with("the backends are up "), "{refusal}");
    assert!(refusal.ends_with("`cargo xtask down` ends them"), "{refusal}");
    assert_eq!(refusal.lines().count(), 1);
    redis::shared().unwrap();
}
