//! Figures: what comes out is a picture of the size asked for, and shows what it was given.

use attractor::report::figures::{
    Axis, BLACK, BLUE, Figure, FigureError, GREEN, GREY, Layer, Mark, ORANGE, Palette, Panel, RED,
    Stroke,
};
use std::path::PathBuf;

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn wave(phase: f64) -> Vec<[f64; 2]> {
    let x = (0..60).map(|at| 0.1 * f64::from(at));
    x.map(|x| [x, (x + phase).sin()]).collect()
}

fn lines() -> Panel {
    let mut broken = wave(0.5);
    broken[20][1] = f64::NAN;
    let curve = |shift: f64| wave(0.0).iter().map(|p| p[1] + shift).collect::<Vec<_>>();
    Panel {
        title: "lines & <bands>".into(),
        x: Axis::new("time"),
        y: Axis::new("value"),
        layers: vec![
            Layer::plain(Mark::Band {
                x: wave(0.0).iter().map(|p| p[0]).collect(),
                low: curve(-0.2),
                high: curve(0.2),
                colour: BLUE.with_opacity(0.3),
            }),
            Layer::named(
                "sine",
                Mark::Line {
                    points: wave(0.0),
                    stroke: Stroke::solid(BLUE, 1.5),
                    marker: 0.0,
                },
            ),
            Layer::named(
                "broken",
                Mark::Line {
                    points: broken,
                    stroke: Stroke::solid(ORANGE, 1.5),
                    marker: 3.0,
                },
            ),
            Layer::plain(Mark::Across {
                y: 0.0,
                stroke: Stroke::solid(GREY, 0.6),
            }),
            Layer::named(
                "half",
                Mark::Upright {
                    x: 3.0,
                    stroke: Stroke::dashed(BLACK, 1.0),
                },
            ),
        ],
    }
}

fn field() -> Panel {
    let (columns, rows) = (60, 30);
    let values = (0..rows).flat_map(|row| (0..columns).map(move |column| (row * column) as f64));
    Panel {
        title: "field".into(),
        x: Axis::new("x"),
        y: Axis::new("y"),
        layers: vec![Layer::plain(Mark::Heat {
            columns,
            values: values.collect(),
            x: [0.0, 2.0],
            y: [0.0, 1.0],
            range: [0.0, 1800.0],
            palette: Palette::Rising,
            name: "product".into(),
        })],
    }
}

fn bars() -> Panel {
    let ticks = (0..4)
        .map(|at| (f64::from(at) + 0.5, format!("{}", 26040 * at)))
        .collect();
    Panel {
        title: "bars".into(),
        x: Axis::new("").with_ticks(ticks, true),
        y: Axis::new("count"),
        layers: vec![
            Layer::named(
                "some",
                Mark::Bars {
                    edges: vec![0.0, 1.0, 2.0, 3.0, 4.0],
                    heights: vec![1.0, 5.0, 2.0, 0.0],
                    colour: GREEN.with_opacity(0.55),
                },
            ),
            Layer::named(
                "points",
                Mark::Points {
                    points: vec![[0.5, 4.0], [f64::NAN, 1.0], [3.5, 4.5]],
                    colour: RED,
                    radius: 3.0,
                },
            ),
        ],
    }
}

#[test]
fn both_outputs_have_the_size_and_the_words() {
    let figure = Figure {
        size: [15.0, 4.0],
        panels: vec![lines(), field(), bars()],
    };
    let [png, svg] = figure.save(&folder("figures"), "all").unwrap();
    let file = std::io::BufReader::new(std::fs::File::open(png).unwrap());
    let reader = png::Decoder::new(file).read_info().unwrap();
    assert_eq!((reader.info().width, reader.info().height), (2250, 600));
    let svg = std::fs::read_to_string(svg).unwrap();
    for words in [
        "viewBox=\"0 0 2250 600\"",
        "lines &amp; &lt;bands&gt;",
        "rotate(-45",
        "78120",
        "data:image/png",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    // One disc a finite point, and one in the legend for each of the two layers with discs.
    assert_eq!(svg.matches("<circle").count(), 59 + 2 + 2);
}

/// Pixels of a PNG whose colour is near the given one.
fn count_near(png: &[u8], colour: [u8; 3]) -> usize {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let near = |pixel: &&[u8]| pixel.iter().zip(colour).all(|(a, b)| a.abs_diff(b) < 12);
    pixels.chunks_exact(3).filter(near).count()
}

#[test]
fn bars_are_as_large_as_their_heights() {
    let with = |height: f64| {
        let mut panel = bars();
        panel.layers = vec![Layer::plain(Mark::Bars {
            edges: vec![0.0, 4.0],
            heights: vec![height],
            colour: RED,
        })];
        panel.y = panel.y.with_range([0.0, 4.0]);
        Figure::new([4.0, 3.0], panel).png().unwrap()
    };
    let (one, three) = (
        count_near(&with(1.0), RED.rgb),
        count_near(&with(3.0), RED.rgb),
    );
    assert!(
        (three as f64 / one as f64 - 3.0).abs() < 0.1,
        "{one} {three}"
    );
    // Beyond the range nothing is drawn.
    assert!(count_near(&with(4.0), RED.rgb).abs_diff(count_near(&with(9.0), RED.rgb)) < 500);
}

#[test]
fn what_cannot_be_drawn_is_named() {
    let refused = |panel: Panel| match Figure::new([4.0, 3.0], panel).svg() {
        Err(FigureError::Invalid { figure, .. }) => figure,
        other => panic!("{other:?}"),
    };
    let mut uneven = bars();
    uneven.layers = vec![Layer::plain(Mark::Bars {
        edges: vec![0.0],
        heights: vec![1.0, 2.0],
        colour: RED,
    })];
    assert_eq!(refused(uneven), "bars");
    let mut backwards = bars();
    backwards.x.range = Some([1.0, f64::NAN]);
    refused(backwards);
    assert!(Figure::new([1e6, 3.0], bars()).png().is_err());
    assert!(Figure::new([0.6, 0.6], lines()).png().is_err());
    let nothing = Figure {
        size: [4.0, 3.0],
        panels: vec![],
    };
    assert!(nothing.svg().is_err());
}

#[test]
fn empty_and_constant_panels_are_drawn() {
    let mut panel = lines();
    panel.layers.clear();
    Figure::new([4.0, 3.0], panel.clone()).png().unwrap();
    panel.layers = vec![Layer::plain(Mark::Points {
        points: vec![[1e300, 2.0]; 3],
        colour: RED,
        radius: 1.0,
    })];
    Figure::new([4.0, 3.0], panel).png().unwrap();
}
