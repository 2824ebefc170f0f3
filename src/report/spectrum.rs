//! Running exponents as a figure.

use super::figures::{Axis, Figure, Layer, Mark, Panel, Stroke};
use super::figures::{BLACK, BLUE, Colour, GREEN, GREY, ORANGE, PURPLE, RED};
use crate::analysis::lyapunov::{Estimate, Running};

/// Colours of exponents in turn.
const COLOURS: [Colour; 6] = [BLUE, ORANGE, GREEN, RED, PURPLE, BLACK];
/// More lines than this are not told apart by a legend.
const MOST_NAMED: usize = 12;

/// Exponents against time, one line each, as they converge; behind each the interval of its final value,
/// where there are estimates, one an exponent. `unit` names what time is counted in.
pub fn running_exponents(
    title: &str,
    running: &Running,
    estimates: &[Estimate],
    unit: &str,
) -> Figure {
    let columns = running.exponents.len() / running.times.len().max(1);
    let mut layers = vec![Layer::plain(Mark::Across {
        y: 0.0,
        stroke: Stroke::solid(GREY, 0.8),
    })];
    let ends = [running.times.first(), running.times.last()];
    let ends: Vec<f64> = ends.into_iter().flatten().copied().collect();
    let colours = || COLOURS.into_iter().cycle();
    for (estimate, colour) in estimates.iter().take(columns).zip(colours()) {
        layers.push(Layer::plain(Mark::Band {
            x: ends.clone(),
            low: vec![estimate.lower; ends.len()],
            high: vec![estimate.upper; ends.len()],
            colour: colour.with_opacity(0.25),
        }));
    }
    for (column, colour) in (0..columns).zip(colours()) {
        let values = running.exponents.iter().skip(column).step_by(columns);
        let times = running.times.iter();
        let line = Mark::Line {
            points: times.zip(values).map(|(t, value)| [*t, *value]).collect(),
            stroke: Stroke::solid(colour, 1.2),
            marker: 0.0,
        };
        layers.push(match columns <= MOST_NAMED {
            true => Layer::named(format!("exponent {}", column + 1), line),
            false => Layer::plain(line),
        });
    }
    let panel = Panel {
        title: title.to_string(),
        x: Axis::new(format!("time ({unit})")),
        y: Axis::new(format!("running exponent (1/{unit})")),
        layers,
    };
    Figure::new([7.0, 4.5], panel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lyapunov::{Bootstrap, BootstrapOptions, Logs};

    #[test]
    fn every_exponent_has_its_line_and_its_band() {
        let rows =
            (0..200).flat_map(|t| [0.9 + (f64::from(t)).sin(), -14.0 - (f64::from(t)).cos()]);
        let logs = Logs::new(rows.collect(), 2, 0.1).unwrap();
        let running = logs.running(0..200, 10).unwrap();
        let bootstrap = Bootstrap::new(&logs, 0..200, &BootstrapOptions::default()).unwrap();
        let estimates = bootstrap.exponents();
        let figure = running_exponents("Lorenz", &running, &estimates, "s");
        let layers = &figure.panels[0].layers;
        let lines = layers.iter().filter_map(|layer| match &layer.mark {
            Mark::Line { points, .. } => Some((layer.label.clone(), points.clone())),
            _ => None,
        });
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1].0.as_deref(), Some("exponent 2"));
        assert_eq!(lines[1].1.len(), 20);
        assert_eq!(lines[1].1[19], [20.0, running.exponents[39]]);
        let bands = layers.iter().filter(|layer| {
            matches!(&layer.mark,
            Mark::Band { low, .. } if low[0] == estimates[0].lower || low[0] == estimates[1].lower)
        });
        assert_eq!(bands.count(), 2);
        let svg = figure.svg().unwrap();
        assert!(svg.contains("running exponent") && svg.contains("exponent 2"));
        // Nothing to draw is no reason to stop.
        let nothing = Running {
            times: vec![],
            exponents: vec![],
        };
        let empty = running_exponents("none", &nothing, &[], "s");
        assert_eq!(empty.panels[0].layers.len(), 1);
    }
}
