//! The report in a real browser: what a person sees, clicks and types.

#[cfg_attr(not(browser), allow(dead_code))]
#[path = "../common/runs.rs"]
mod runs;
#[cfg_attr(not(browser), allow(dead_code))]
mod webdriver;

use serde_json::json;
use std::process::Command;
use webdriver::{Browser, Element};

/// The space bar (WebDriver, section 17.4.2).
const SPACE: &str = "\u{e00d}";

/// A report over five drives, made by the program, and a browser that shows it.
fn shown(name: &str) -> Browser {
    let folder = runs::folder(name);
    let manifest = runs::manifest(&folder, 5, 1600);
    let page = folder.join("report.html");
    let status = Command::new(env!("CARGO_BIN_EXE_attractor"))
        .args(["flow", "report", "--force"])
        .arg(&manifest)
        .arg("--out")
        .arg(&page)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let browser = Browser::start(&folder.join("profile"));
    browser.open(&page);
    browser
}

fn only(mut found: Vec<Element>) -> Element {
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// The legend entry and the curve of a run in a chart, and the same curve in another chart.
fn parts(browser: &Browser, series: &str) -> (Element, Element, Element) {
    let mut charts = browser.find(None, "figure.chart").into_iter();
    let (first, second) = (charts.next().unwrap(), charts.next().unwrap());
    let entry = browser.find(Some(&first), &format!("button[data-toggle='{series}']"));
    let curve = format!("g[data-series='{series}']");
    let here = only(browser.find(Some(&first), &curve));
    (only(entry), here, only(browser.find(Some(&second), &curve)))
}

#[test]
#[cfg_attr(
    not(browser),
    ignore = "needs chromium and chromedriver: ./scripts/test installs them"
)]
fn a_click_on_a_legend_entry_hides_its_curve() {
    let browser = shown("browser_click");
    for series in ["truth", "run-1"] {
        let (entry, curve, elsewhere) = parts(&browser, series);
        let seen = |there: bool| {
            assert_eq!(browser.displayed(&curve), there);
            assert_eq!(browser.css(&curve, "display") != "none", there);
            assert_eq!(browser.attribute(&entry, "aria-pressed"), there.to_string());
            assert!(browser.displayed(&elsewhere), "a chart of its own");
        };
        seen(true);
        browser.click(&entry);
        seen(false);
        browser.click(&entry);
        seen(true);
        browser.keys(&entry, SPACE);
        seen(false);
        browser.keys(&entry, SPACE);
        seen(true);
    }
    // One legend for all of the small charts.
    let spikes = only(browser.find(None, "div.chart"));
    let entry = only(browser.find(Some(&spikes), "button[data-toggle='run-0']"));
    let curves = browser.find(Some(&spikes), "g[data-series='run-0']");
    assert_eq!(curves.len(), 6);
    browser.click(&entry);
    assert!(curves.iter().all(|curve| !browser.displayed(curve)));
    browser.click(&entry);
    assert!(curves.iter().all(|curve| browser.displayed(curve)));

    let complaints = browser.log("browser");
    assert!(complaints.is_empty(), "{complaints:?}");
    let requests = browser.requests();
    assert_eq!(requests, [browser.url()]);
}

#[test]
#[cfg_attr(
    not(browser),
    ignore = "needs chromium and chromedriver: ./scripts/test installs them"
)]
fn the_page_fits_a_phone_and_follows_the_dark() {
    let browser = shown("browser_phone");
    let paper = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.script(paper);
    for width in [360, 400, 1200] {
        let screen =
            json!({"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": false});
        browser.devtools("Emulation.setDeviceMetricsOverride", screen);
        let sizes = browser.script(
            "const wide = [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && \
             e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 80));\
             return [innerWidth, document.documentElement.scrollWidth, wide]",
        );
        assert_eq!(sizes[0], width);
        assert!(sizes[1].as_u64().unwrap() <= width, "{sizes}");
        // The curves of a picture may leave it; it cuts them.
        let words = sizes[2].as_array().unwrap().iter();
        let wide: Vec<_> = words
            .filter(|tag| !tag.as_str().unwrap().contains("<path"))
            .collect();
        assert!(
            wide.iter()
                .all(|tag| tag.as_str().unwrap().starts_with("<g")),
            "{wide:?}"
        );
    }
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.devtools("Emulation.setEmulatedMedia", dark);
    assert_ne!(browser.script(paper), light);
    // Names from the manifest are text, whatever they look like.
    assert_eq!(
        browser.script("return document.querySelectorAll('b:not(.best)').length"),
        0
    );
    let complaints = browser.log("browser");
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Where tests run for a merge, a missing browser is a failure, not a reason to look away.
#[cfg(not(browser))]
#[test]
fn continuous_integration_has_a_browser() {
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "CI needs chromium and chromedriver: ./scripts/test installs them"
    );
}
