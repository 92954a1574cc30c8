//! The status page in a real browser.

use std::time::Duration;

use serde_json::Value;
use stack::chromium::{Chromium, View};
use stack::redis::Redis;

use crate::running::{FILE, Gateway, TOKEN};

const LIGHT: View = View { width: 1400, dark: false, scripts: true, media: "screen" };
const DARK: View = View { dark: true, ..LIGHT };
const NARROW: View = View { width: 320, ..DARK };

/// The name of a check that is wider than the screen of a phone.
const LONG: &str = "sessions_of_the_shop_that_the_application_works_without";

/// A Redis with three checks, and one that always fails, so that the page is polled every second.
fn file(redis: &Redis) -> String {
    let port = redis.port();
    format!(
        "{FILE}timeout = \"1s\"\n\
         [redis]\nurl = \"redis://127.0.0.1:{port}\"\n\
         [cache]\ndata = \"redis://127.0.0.1:{port}/1\"\npages = \"redis://127.0.0.1:{port}/2\"\n\
         [{LONG}]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\nseverity = \"warning\"\n"
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// One test, since a browser takes a second to start.
#[test]
fn a_browser_shows_failures_at_once_and_every_reader_can_use_the_page() {
    let mut redis = Redis::start(&[]).unwrap();
    let mut gateway = Gateway::start(&file(&redis));
    let address = format!("http://{}/api/health/{TOKEN}/", gateway.address);
    let mut browser = Chromium::start().unwrap();
    let tab = browser.open(&address, LIGHT).unwrap();

    // What the reader has opened, focused and written stays when the page is replaced.
    browser
        .evaluate(
            &tab,
            "document.getElementById('details-redis').open = true;
             document.getElementById('q').focus(); document.getElementById('q').value = 'unsent';
             window.first = document.querySelector('main'); true",
        )
        .unwrap();
    browser.wait_for(&tab, "window.first !== document.querySelector('main')").unwrap();
    let kept = "document.getElementById('details-redis').open
        && document.activeElement.id === 'q' && document.activeElement.value === 'unsent'";
    assert_eq!(browser.evaluate(&tab, kept).unwrap(), Value::Bool(true));

    let failing = "document.querySelector('.cause.bad h2')?.innerText.includes('One cause for 3 checks') === true
        && document.title.startsWith('✕ 4 of 4 not working')";
    redis.server.stop();
    let seen = browser.wait_for(&tab, failing).unwrap();
    assert!(seen < Duration::from_secs(5), "{seen:?}");
    eprintln!("the failure was shown after {seen:?}");
    let dark = browser.open(&address, DARK).unwrap();
    let narrow = browser.open(&address, NARROW).unwrap();
    for tab in [&tab, &dark, &narrow] {
        assert_eq!(browser.violations(tab).unwrap(), [""; 0]);
        let overflow = "document.documentElement.scrollWidth - innerWidth";
        assert_eq!(browser.evaluate(tab, overflow).unwrap(), 0);
    }

    // Paper has light colours in the dark mode too, and what is folded on the screen.
    let printed = browser.open(&address, View { media: "print", ..DARK }).unwrap();
    let look = "[getComputedStyle(document.documentElement).backgroundColor,
        getComputedStyle(document.querySelector('.controls')).display,
        document.querySelector('#details-redis dl').checkVisibility({contentVisibilityAuto: true, visibilityProperty: true})].join()";
    assert_eq!(browser.evaluate(&printed, look).unwrap(), "rgb(255, 255, 255),none,true");

    // The page is not requested while it is hidden, and at once when it is visible again.
    browser.select(&tab).unwrap();
    redis.server.restart().unwrap();
    browser.wait_for(&tab, "document.title.startsWith('! 1 of 4 not working')").unwrap();
    let changes = browser.evaluate(&tab, "document.querySelector('main > .changes').innerText");
    let (changes, refused) = (changes.unwrap(), format!("(127.0.0.1:{})", redis.port()));
    let count = text(&changes).matches(&*refused).count();
    assert_eq!(count, 3, "the reason is still there: {changes}");
    assert!(text(&changes).contains("works again after"), "{changes}");

    let plain = View { scripts: false, ..LIGHT };
    let without = browser.open(&format!("{address}?state=failing&refresh=5"), plain).unwrap();
    let listed = "[...document.querySelectorAll('tbody tr')].map(it => it.id).join()";
    assert_eq!(browser.evaluate(&without, listed).unwrap(), format!("check-{LONG}"));
    let link = "document.querySelector('noscript a').href";
    let link = browser.evaluate(&without, link).unwrap();
    assert!(text(&link).ends_with("?state=failing"), "{link}");

    for tab in [&tab, &dark, &narrow, &printed, &without] {
        assert_eq!(browser.complaints(tab), [""; 0]);
        let elsewhere = browser.requests(tab);
        let elsewhere =
            elsewhere.iter().find(|it| !it.starts_with(&*address) && !it.starts_with("data:"));
        assert_eq!(elsewhere, None);
    }

    // While the gateway is down, the page is requested at growing intervals, which pass at once here; when it is back, the page is up to date and is requested as often as before.
    browser.select(&tab).unwrap();
    gateway.server.stop();
    let stale = "document.getElementById('stale').innerText.startsWith('Not updated since')";
    browser.wait_for(&tab, stale).unwrap();
    let hurry = "window.periods = []; window.timer = setTimeout;
        window.setTimeout = (poll, period) => { periods.push(period / 1000); return timer(poll, 1); };
        true";
    browser.evaluate(&tab, hurry).unwrap();
    browser.wait_for(&tab, "periods.length > 6").unwrap();
    let periods = browser.evaluate(&tab, "periods.slice(0, 7)").unwrap();
    let periods: Vec<_> =
        periods.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    assert!(periods.is_sorted() && periods.starts_with(&[4, 8, 16, 32, 60]), "{periods:?}");
    gateway.server.restart().unwrap();
    let returned = "document.getElementById('stale').innerText === '' && periods.at(-1) === 1";
    browser.wait_for(&tab, returned).unwrap();
}
