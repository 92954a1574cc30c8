//! Tests that the shared stack runs in one mode at a time.

use stack::{Backends, Mode, redis};

#[test]
fn the_stack_is_not_started_in_the_other_mode_while_it_is_up() {
    redis::shared().unwrap();
    let redis = Backends::named(&["redis".to_owned()]);
    let errors: Vec<_> = [Mode::Native, Mode::Compose]
        .into_iter()
        .filter_map(|mode| stack::up(&redis, mode).err())
        .map(|error| error.to_string())
        .collect();
    let [error] = errors.as_slice() else { panic!("not one error: {errors:?}") };
    assert!(error.starts_with("the backends are up "), "{error}");
    assert!(error.ends_with("`cargo xtask down` stops them"), "{error}");
    assert_eq!(error.lines().count(), 1);
    redis::shared().unwrap();
}
