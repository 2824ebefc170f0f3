//! The page, section by section.

use super::chart::{legend, plot, swatch};
use super::{FlowReport, Overlay, Run, Zoom, field_picture, looks, metrics};
use crate::report::html::{Element, element, heading, page_with, paragraph};

/// Most charts of drives on a page.
const MOST_OVERLAYS: usize = 24;
/// Points of all curves together: about six bytes each.
const POINTS: usize = 300_000;

impl FlowReport {
    /// The page. Everything in it is escaped, and it loads nothing.
    pub fn render(&self) -> String {
        let mut content = vec![
            element("h1").text(&self.title),
            element("p").attribute("class", "soft").text(self.summary()),
            element("div").attribute("class", "runs").children(
                self.runs
                    .iter()
                    .enumerate()
                    .map(|(index, run)| card(index, run)),
            ),
        ];
        if let Some(table) = metrics::table(&self.runs) {
            content.extend([heading("Metrics"), table, metrics_words(&self.runs)]);
        }
        content.extend(self.drives());
        content.extend(self.spikes());
        if !self.fields.is_empty() {
            content.push(heading("Velocity field"));
            content.extend(self.fields.iter().map(field_picture::view));
        }
        content.push(looks::script());
        page_with(&self.title, looks::head(), content)
    }

    fn summary(&self) -> String {
        let frames: usize = self
            .overlays
            .iter()
            .map(|overlay| overlay.frames.len())
            .sum();
        let plural = |count: usize, word: &str| {
            let end = if count == 1 { "" } else { "s" };
            format!("{count} {word}{end}")
        };
        format!(
            "{}, {}, {}",
            plural(self.runs.len(), "run"),
            plural(self.overlays.len(), "drive"),
            plural(frames, "frame")
        )
    }

    /// Points that one curve may have, so that the page stays small whatever the number of runs.
    fn points_per_curve(&self) -> usize {
        let drawn = self.overlays.iter().take(MOST_OVERLAYS);
        let zoomed = self.zooms.iter().map(|zoom| &zoom.overlay);
        let curves: usize = drawn.chain(zoomed).map(|o| o.curves.len() + 1).sum();
        POINTS / curves.max(1)
    }

    fn drives(&self) -> Vec<Element> {
        if self.overlays.is_empty() {
            return Vec::new();
        }
        let points = self.points_per_curve();
        let mut section = vec![
            heading("First predicted step against truth"),
            element("p")
                .attribute("class", "soft")
                .text("Steering (raw action, first slot) over frame numbers. A click on a name hides or shows its curve."),
        ];
        section.extend(self.overlays.iter().take(MOST_OVERLAYS).map(|overlay| {
            let title = overlay.drive.clone();
            chart("figure")
                .child(element("h3").text(&title))
                .child(legend(&self.runs, &shown(overlay)))
                .child(plot(overlay, None, points, &title))
        }));
        let left = self.overlays.len().saturating_sub(MOST_OVERLAYS);
        if left > 0 {
            section.push(paragraph(&format!("{left} more drives are not drawn.")));
        }
        section
    }

    fn spikes(&self) -> Vec<Element> {
        if self.zooms.is_empty() {
            return Vec::new();
        }
        let points = self.points_per_curve();
        let mut shown_runs: Vec<usize> = self
            .zooms
            .iter()
            .flat_map(|zoom| shown(&zoom.overlay))
            .collect();
        shown_runs.sort_unstable();
        shown_runs.dedup();
        let small = |zoom: &Zoom| {
            let title = format!("{}, frame {}", zoom.overlay.drive, zoom.spike);
            element("figure")
                .child(element("h3").text(&title))
                .child(plot(&zoom.overlay, Some(zoom.spike), points, &title))
        };
        vec![
            heading("Spikes"),
            element("p").attribute("class", "soft").text(
                "The first frame of each block of 400 whose true steering is beyond 0.5 (dotted), with 300 frames before and \
                 after; the first six of all drives.",
            ),
            chart("div")
                .child(legend(&self.runs, &shown_runs))
                .child(
                    element("div")
                        .attribute("class", "gallery zooms")
                        .children(self.zooms.iter().map(small)),
                ),
        ]
    }
}

/// What a legend entry acts on.
fn chart(tag: &'static str) -> Element {
    element(tag)
        .attribute("class", "chart")
        .attribute("data-chart", "yes")
}

fn shown(overlay: &Overlay) -> Vec<usize> {
    overlay.curves.iter().map(|curve| curve.run).collect()
}

fn card(index: usize, run: &Run) -> Element {
    let name = match &run.link {
        Some(link) => element("a")
            .attribute("href", link.as_str())
            .attribute("rel", "noopener noreferrer"),
        None => element("span"),
    };
    let mut head = element("h3")
        .child(swatch(index))
        .child(name.text(&run.name));
    if let Some(verdict) = run.verdict {
        let class = format!("chip {}", verdict.name());
        head = head.child(
            element("span")
                .attribute("class", class)
                .text(verdict.name()),
        );
    }
    let mut card = element("article").attribute("class", "card").child(head);
    if !run.tags.is_empty() {
        let tags = run.tags.iter().map(|tag| element("li").text(tag));
        card = card.child(element("ul").attribute("class", "tags").children(tags));
    }
    if !run.notes.is_empty() {
        card = card.child(element("p").attribute("class", "notes").text(&run.notes));
    }
    if run.frames + run.dropped > 0 {
        let mut words = format!("{} frames", run.frames);
        if run.dropped > 0 {
            words += &format!(", {} dropped for values that are not finite", run.dropped);
        }
        card = card.child(element("p").attribute("class", "soft").text(words));
    }
    card
}

fn metrics_words(runs: &[Run]) -> Element {
    let mut words = "Raw actions. L1: mean absolute error over all slots; flat: slots whose true steering is within \
                     0.05, spike: beyond 0.5. Columns named \u{201c}spike frames\u{201d} and \u{201c}flat \
                     frames\u{201d}: chunk-L1 of steering over frames with a slot beyond 0.5, or with all slots \
                     within 0.05, by readout; best draw and oracle mode depend on the number of draws. corr: Pearson \
                     correlation of chunk means of steering. \u{2191} more is better, \u{2193} less is better."
        .to_string();
    if !metrics::alike(runs) {
        words += " The runs are about different frames, so their numbers do not compare and no best is marked.";
    } else if runs.len() > 1 {
        words += " The best of each column is marked.";
    }
    element("p").attribute("class", "soft").text(words)
}
