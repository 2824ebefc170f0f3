//! Web pages without a template: elements as values, all text escaped, nothing loaded from elsewhere.

use std::fmt::{self, Display, Write};

/// A piece of a page.
#[derive(Debug, Clone)]
pub enum Node {
    /// Text, escaped when written.
    Text(String),
    /// Markup of this program's own making, such as a picture; written as it is.
    Markup(String),
    /// An element.
    Element(Element),
}

/// An element with attributes and content.
#[derive(Debug, Clone)]
pub struct Element {
    tag: &'static str,
    attributes: Vec<(&'static str, String)>,
    content: Vec<Node>,
}

/// Elements that have no content and no end tag.
const VOID: [&str; 4] = ["meta", "br", "hr", "link"];

/// An empty element.
pub fn element(tag: &'static str) -> Element {
    Element {
        tag,
        attributes: Vec::new(),
        content: Vec::new(),
    }
}

impl Element {
    /// With an attribute; an empty value leaves it out.
    pub fn attribute(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.attributes.push((name, value));
        }
        self
    }

    /// With text at the end.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.content.push(Node::Text(text.into()));
        self
    }

    /// With another piece at the end.
    pub fn child(mut self, node: impl Into<Node>) -> Self {
        self.content.push(node.into());
        self
    }

    /// With more pieces at the end.
    pub fn children<N: Into<Node>>(mut self, nodes: impl IntoIterator<Item = N>) -> Self {
        self.content.extend(nodes.into_iter().map(Into::into));
        self
    }
}

impl From<Element> for Node {
    fn from(element: Element) -> Self {
        Self::Element(element)
    }
}

/// Text with the characters that mean something in markup replaced, for content and attributes alike.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in a page, even as references.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

impl Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&escape(text)),
            Self::Markup(markup) => f.write_str(markup),
            Self::Element(element) => element.fmt(f),
        }
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.tag)?;
        for (name, value) in &self.attributes {
            write!(f, " {name}=\"{}\"", escape(value))?;
        }
        f.write_char('>')?;
        if VOID.contains(&self.tag) {
            return Ok(());
        }
        self.content.iter().try_for_each(|node| node.fmt(f))?;
        write!(f, "</{}>", self.tag)
    }
}

/// Looks of every page: readable on a phone, light and dark.
const LOOKS: &str = "
:root{color-scheme:light dark;--ink:#1c2024;--soft:#60666d;--paper:#fbfaf8;--card:#fff;--line:#dddad4;
--wall:#8b8578;--floor:#e9e5dc;--plan:#0b7285;--goal:#c2560c;--agent:#2b6e3f;--other:#9a8fb8}
@media(prefers-color-scheme:dark){:root{--ink:#e7e5e0;--soft:#9ea3a8;--paper:#15171a;--card:#1d2024;--line:#34383d;
--wall:#77746c;--floor:#2b2f34;--plan:#4cc3d9;--goal:#f0924a;--agent:#7ccf92;--other:#8577b5}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1rem 4rem;max-width:62rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.4rem 0 .6rem}
p{max-width:44rem;margin:.5rem 0}.soft,figcaption{color:var(--soft);font-size:.88rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:.35rem .7rem .35rem 0;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600}.number{text-align:right}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:1.2rem 0}
.card,figure{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem;margin:0}
.card b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr));gap:.8rem}
.wide{grid-column:1/-1}svg{display:block;width:100%;height:auto;max-height:26rem}figcaption{margin-top:.5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;font-size:.9rem;margin:.8rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}code{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.9em}
";

/// A whole page with a title and content; self-contained.
pub fn page<N: Into<Node>>(title: &str, content: impl IntoIterator<Item = N>) -> String {
    page_with(title, [], content)
}

/// [`page`] with further elements at the end of its head.
pub fn page_with<N: Into<Node>>(
    title: &str,
    more: impl IntoIterator<Item = Element>,
    content: impl IntoIterator<Item = N>,
) -> String {
    let viewport = element("meta")
        .attribute("name", "viewport")
        .attribute("content", "width=device-width,initial-scale=1");
    let head = element("head")
        .child(element("meta").attribute("charset", "utf-8"))
        .child(viewport)
        .child(element("title").text(title))
        .child(element("style").child(Node::Markup(LOOKS.into())))
        .children(more);
    let html = element("html")
        .attribute("lang", "en")
        .child(head)
        .child(element("body").children(content));
    format!("<!doctype html>\n{html}\n")
}

/// A heading of the second level.
pub fn heading(text: &str) -> Element {
    element("h2").text(text)
}

/// A paragraph.
pub fn paragraph(text: &str) -> Element {
    element("p").text(text)
}

/// A number that matters, over what it is.
pub fn card(figure: &str, caption: &str) -> Element {
    element("div")
        .attribute("class", "card")
        .child(element("b").text(figure))
        .child(element("span").attribute("class", "soft").text(caption))
}

/// A picture made by this program with words under it; `class` may be empty.
pub fn figure(picture: String, caption: &str, class: &str) -> Element {
    element("figure")
        .attribute("class", class)
        .child(Node::Markup(picture))
        .child(element("figcaption").text(caption))
}

/// Names and values, a line each.
pub fn facts<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Element {
    let items = pairs
        .into_iter()
        .flat_map(|(name, value)| [element("dt").text(name), element("dd").text(value)]);
    element("dl").children(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let node = element("p")
            .attribute("title", "a\"b<c>")
            .text("1 < 2 & '\u{1b}'");
        assert_eq!(
            node.to_string(),
            "<p title=\"a&quot;b&lt;c&gt;\">1 &lt; 2 &amp; &#39;\u{FFFD}&#39;</p>"
        );
    }

    #[test]
    fn pages_load_nothing() {
        let page = page("t", [paragraph("x")]);
        assert!(page.starts_with("<!doctype html>") && page.contains("prefers-color-scheme:dark"));
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
