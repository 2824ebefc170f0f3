//! What a terminal can show: colours, and more than ASCII.

use std::io::IsTerminal;

/// A colour by its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// What the planner does.
    Plan,
    /// Where it should get to.
    Goal,
    /// Who acts.
    Agent,
    /// What stands in the way.
    Wall,
    /// A failure.
    Bad,
    /// A title.
    Strong,
}

impl Ink {
    /// Parameters of the "select graphic rendition" sequence (ECMA-48).
    fn code(self) -> &'static str {
        match self {
            Self::Plan => "36",
            Self::Goal => "1;33",
            Self::Agent => "1;32",
            Self::Wall => "2",
            Self::Bad => "31",
            Self::Strong => "1",
        }
    }
}

/// How text is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to colour.
    pub colour: bool,
    /// Whether to go beyond ASCII.
    pub unicode: bool,
}

impl Style {
    /// ASCII without colours, for files and pipes.
    pub const PLAIN: Self = Self {
        colour: false,
        unicode: false,
    };

    /// What standard output can show: colours on a terminal unless `NO_COLOR` is set
    /// (<https://no-color.org>) or the terminal is dumb; Unicode when the locale says UTF-8.
    pub fn of_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        // The first of these that is set decides (POSIX, environment variables).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .unwrap_or_default()
            .to_lowercase();
        Self {
            colour: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// The text in a colour, if this style has colours.
    pub fn paint(self, ink: Ink, text: &str) -> String {
        if self.colour {
            format!("\x1b[{}m{text}\x1b[0m", ink.code())
        } else {
            text.to_string()
        }
    }
}
