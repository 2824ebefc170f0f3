//! Tables of text, aligned.

use super::html::{Element, element};

/// A table: columns with titles, rows of text. Short rows end in empty cells.
#[derive(Debug, Clone, Default)]
pub struct Table {
    titles: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub fn new<S: Into<String>>(titles: impl IntoIterator<Item = S>) -> Self {
        Self {
            titles: titles.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the last column are dropped.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.titles.len(), String::new());
        self.rows.push(cells);
    }

    /// Rows without the titles.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Numbers read better right-aligned: whether all cells of a column start like one.
    fn numeric(&self, column: usize) -> bool {
        let mut cells = self
            .rows
            .iter()
            .filter_map(|row| row.get(column))
            .filter(|cell| !cell.is_empty() && *cell != "-")
            .peekable();
        cells.peek().is_some()
            && cells.all(|cell| {
                let digits = cell.trim_start_matches(['-', '+']);
                digits.starts_with(|c: char| c.is_ascii_digit())
            })
    }

    /// Aligned lines for a terminal.
    pub fn to_text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .chain(self.titles.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let columns: Vec<(usize, bool)> = (0..self.titles.len())
            .map(|column| (width(column), self.numeric(column)))
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&self.titles).chain(&self.rows) {
            let cells: Vec<String> = row
                .iter()
                .zip(&columns)
                .map(|(cell, &(width, numeric))| {
                    if numeric {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                })
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// A table of a Markdown page.
    pub fn to_markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rules: Vec<String> = (0..self.titles.len())
            .map(|column| if self.numeric(column) { "--:" } else { "---" }.to_owned())
            .collect();
        let mut text = line(&self.titles) + &line(&rules);
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text
    }

    /// Comma-separated values (RFC 4180 with LF): cells with a comma, a quote or a line break are quoted.
    pub fn to_csv(&self) -> String {
        let cell = |cell: &String| {
            if cell.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.clone()
            }
        };
        let line =
            |cells: &Vec<String>| cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\n";
        std::iter::once(&self.titles)
            .chain(&self.rows)
            .map(line)
            .collect()
    }

    /// A table of a web page.
    pub fn to_html(&self) -> Element {
        let class = |column| if self.numeric(column) { "number" } else { "" };
        let line = |tag: &'static str, cells: &[String]| {
            let cells = cells
                .iter()
                .enumerate()
                .map(|(column, cell)| element(tag).attribute("class", class(column)).text(cell));
            element("tr").children(cells)
        };
        let head = element("thead").child(line("th", &self.titles));
        let body = element("tbody").children(self.rows.iter().map(|row| line("td", row)));
        let table = element("table").child(head).child(body);
        element("div").attribute("class", "scroll").child(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["name", "value"]);
        table.row(["a", "1.5"]);
        table.row(["long name", "20"]);
        table.row(["short"]);
        assert_eq!(
            table.to_text(),
            "name       value\na            1.5\nlong name     20\nshort\n"
        );
    }

    #[test]
    fn markdown_keeps_its_columns() {
        let mut table = Table::new(["a|b", "value"]);
        table.row(["x", "1.5"]);
        table.row(["y|z", "-"]);
        assert_eq!(
            table.to_markdown(),
            "| a\\|b | value |\n| --- | --: |\n| x | 1.5 |\n| y\\|z | - |\n"
        );
    }

    #[test]
    fn values_with_commas_are_quoted() {
        let mut table = Table::new(["name", "value"]);
        table.row(["a,b", "1"]);
        table.row(["say \"c\"", ""]);
        assert_eq!(
            table.to_csv(),
            "name,value\n\"a,b\",1\n\"say \"\"c\"\"\",\n"
        );
    }

    #[test]
    fn cells_are_escaped_on_pages() {
        let mut table = Table::new(["<x>"]);
        table.row(["a & b"]);
        let page = table.to_html().to_string();
        assert!(page.contains("&lt;x&gt;") && page.contains("a &amp; b"));
    }
}
