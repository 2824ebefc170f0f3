use attractor::analysis::flow::{
    Calibration, CalibrationRow, Chunks, Draws, PanelConfig, PanelInput, evaluate,
};
use attractor::report::flow::{TitledTable, calibration_table, panel_tables};

fn text(tables: &[TitledTable], title: &str) -> Vec<Vec<String>> {
    let (_, table) = tables.iter().find(|(found, _)| found == title).unwrap();
    let lines = table.to_markdown();
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    lines.lines().skip(2).map(cells).collect()
}

#[test]
fn a_panel_as_tables() {
    // Two frames of two draws of one slot: flat and predicted exactly; a spike with draws off by 0.1 and 0.3.
    let truth = [0.0f32, 0.75];
    let draws = [0.0f32, 0.0, 0.85, 1.05];
    let input = PanelInput {
        truth: Chunks::new(&truth, 2, 1, 1).unwrap(),
        draws: Draws::new(&draws, 2, 2, 1, 1).unwrap(),
        drives: &[7, 7],
    };
    let mut config = PanelConfig::new(0, vec![0.5]);
    config.fan_pad = 0;
    let tables = panel_tables(&evaluate(&input, &config).unwrap(), &["steering"]);
    let rows = text(&tables, "Steering chunk-L1 by frame");
    assert_eq!(
        rows[0],
        [
            "all", "0.1000", "0.1000", "0.0500", "0.0500", "0.0500", "0.0500", "0.0000"
        ]
    );
    assert_eq!(rows[1][1..3], ["0.0000", "0.0000"]);
    assert_eq!(
        rows[4],
        [
            "bimodal spike",
            "0.2000",
            "0.2000",
            "0.1000",
            "0.1000",
            "0.1000",
            "0.1000",
            "0.0000"
        ]
    );
    let rows = text(&tables, "L1 over slots, by number of draws (raw actions)");
    assert_eq!(rows[0], ["steering", "1", "0.1000", "0.0000", "0.2000"]);
    assert_eq!(rows.len(), 3);
    let rows = text(&tables, "Modes");
    assert_eq!(rows[1], ["flat", "1", "0", "0.0 %", "-"]);
    assert_eq!(rows[2], ["spike", "1", "1", "100.0 %", "0.2000"]);
    let rows = text(&tables, "Drives");
    assert_eq!(rows[0][..5], ["7", "2", "1", "50.0 %", "all"]);
    let rows = text(&tables, "First-slot fan");
    assert_eq!(rows[2], ["draws within 0.2", "75.0 %", "50.0 %", "100.0 %"]);
    assert_eq!(
        rows[4],
        ["first-step L1, best draw", "-", "0.1000", "0.0000"]
    );
    assert_eq!(tables.len(), 9);
    // Without a name a channel goes by its index.
    let tables = panel_tables(&evaluate(&input, &config).unwrap(), &[]);
    assert_eq!(
        text(&tables, "Maneuvers, first draw"),
        [["0", "50.0 %", "0.1000"]]
    );
}

#[test]
fn a_calibration_as_a_table() {
    let calibration = Calibration {
        rows: vec![CalibrationRow {
            probability: 0.12,
            marks: 44,
            frequency: Some(0.11),
            draw_share: None,
        }],
        dropped: 0,
        error: None,
    };
    let lines = calibration_table(&calibration).to_text();
    let cells: Vec<&str> = lines.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(cells, ["0.12", "44", "0.1100", "-"]);
}
