//! Style and script of the page.

use crate::report::html::{Element, Node, element};

/// What the pages of this program do not already look like.
const STYLE: &str = "
:root{--s0:#0b7285;--s1:#c2560c;--s2:#6741b5;--s3:#2b7a3f;--s4:#b3266e;--s5:#8a6a00;--s6:#1c62c4;--s7:#8a4b2a;
--neg:#0b7285;--pos:#c2560c;--good:#2b6e3f;--bad:#b02a2a}
@media(prefers-color-scheme:dark){:root{--s0:#4cc3d9;--s1:#f0924a;--s2:#b79bf0;--s3:#7ccf92;--s4:#f07ab0;
--s5:#d9bb4a;--s6:#79aef5;--s7:#d09a7c;--neg:#4cc3d9;--pos:#f0924a;--good:#7ccf92;--bad:#f08080}}
.s0{color:var(--s0)}.s1{color:var(--s1)}.s2{color:var(--s2)}.s3{color:var(--s3)}.s4{color:var(--s4)}
.s5{color:var(--s5)}.s6{color:var(--s6)}.s7{color:var(--s7)}.truth{color:var(--ink)}
h1,h3,.notes,.tags li,.legend span{overflow-wrap:anywhere}
h3{font-size:.95rem;margin:0 0 .4rem}a{color:inherit;text-underline-offset:.15em}
.runs{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:.8rem;margin:1.2rem 0}
.runs p{margin:.5rem 0 0}.notes{white-space:pre-line;font-size:.92rem}
.runs h3{display:flex;align-items:baseline;gap:.5rem;font-size:1rem}.runs h3>:nth-child(2){flex:1;min-width:0}
.swatch{flex:none;display:inline-block;width:1rem;border-top:3px solid;margin-right:.5rem;vertical-align:.25em}
.runs .swatch{margin:0;align-self:center}.dashed.swatch,.dashed i{border-top-style:dashed}
.dotted.swatch,.dotted i{border-top-style:dotted}
.chip{font-size:.74rem;font-weight:600;line-height:1.5;padding:0 .55rem;border:1px solid;border-radius:1rem;
color:var(--soft)}.positive{color:var(--good)}.negative{color:var(--bad)}
.baseline{color:var(--paper);background:var(--soft);border-color:var(--soft)}
.tags{display:flex;flex-wrap:wrap;gap:.3rem;list-style:none;margin:0;padding:0}
.tags li{font-size:.78rem;padding:0 .5rem;border-radius:.3rem;background:var(--floor)}
.best{background:var(--floor);border-radius:.3rem;padding:.1rem .35rem;margin-right:-.35rem}
tbody th{color:var(--ink);padding-left:1.5rem;position:sticky;left:0;background:var(--paper);min-width:7.5rem;max-width:14rem;
white-space:normal;overflow-wrap:break-word}tbody .swatch{float:left;margin:.6rem 0 0 -1.5rem}
thead th{white-space:normal;vertical-align:bottom}
.runs~.scroll table{border-collapse:separate;border-spacing:0}th small{font-weight:400}th.number,td.number{padding-left:.9rem;padding-right:.35rem}
figure.chart{margin:0 0 .8rem}.legend{display:flex;flex-wrap:wrap;gap:.25rem .35rem;margin:0 0 .7rem}
.legend button{font:inherit;font-size:.84rem;display:inline-flex;align-items:center;gap:.45rem;min-height:2rem;
max-width:100%;padding:.1rem .65rem;border:1px solid var(--line);border-radius:1rem;background:none;cursor:pointer}
.legend i{flex:none;width:1.1rem;border-top:3px solid}.truth i{opacity:.5}.legend span{color:var(--ink)}
.legend button:hover{border-color:currentColor}
.legend button:focus-visible{outline:2px solid var(--ink);outline-offset:2px}
.legend [aria-pressed=false]{opacity:.5}.legend [aria-pressed=false] span{text-decoration:line-through}
.plot{position:relative;height:13rem;margin:.4rem .6rem 1.6rem 2.3rem}.zooms .plot{height:9rem}
.plot.tall{height:20rem}.plot.square{height:auto;aspect-ratio:1}
.plot svg{position:absolute;inset:0;height:100%;max-height:none;overflow:hidden}
.plot span{position:absolute;font-size:.72rem;line-height:1;color:var(--soft);font-variant-numeric:tabular-nums;
white-space:nowrap}.up{right:100%;transform:translate(-.45rem,-50%)}.across{top:100%;transform:translate(-50%,.5rem)}
.plot path{vector-effect:non-scaling-stroke;fill:none;stroke-linejoin:round;stroke-linecap:round}
.curve path{stroke:currentColor;stroke-width:1.4px}.truth.curve path{stroke-width:2.4px;opacity:.45}
.dashed.curve path{stroke-dasharray:6 4}.dotted.curve path{stroke-dasharray:1 4}
.grid{stroke:var(--line)}.axis{stroke:var(--soft);opacity:.6}.mark{stroke:var(--soft);stroke-dasharray:2 4}
.plot .heat{stroke:none}.heat.n1,.heat.n2,.heat.n3{fill:var(--neg)}.heat.p1,.heat.p2,.heat.p3{fill:var(--pos)}
.heat{fill-opacity:.09}.heat.n2,.heat.p2{fill-opacity:.2}.heat.n3,.heat.p3{fill-opacity:.34}
.draws{stroke-width:1px;stroke-opacity:.5;stroke:var(--soft)}.draws[class*=' n']{stroke:var(--neg)}
.draws[class*=' p']{stroke:var(--pos)}.draws.n1,.draws.p1{stroke-opacity:.4}.draws.n4,.draws.p4{stroke-opacity:.75}
.truth-line{stroke:var(--ink);stroke-width:2px;stroke-dasharray:7 5}
.plot .needles{fill:var(--plan);stroke:none}.field{margin:0 0 1.6rem}.field figure{margin:0 0 .8rem}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,13rem),1fr));gap:.4rem 1rem}
.panels p{margin:0}@media(max-width:40rem){.panels{grid-template-columns:1fr 1fr}body{padding-top:1.2rem}
.card,figure{padding:.7rem .75rem}}
";

/// Hides and shows the curves of the chart around the pressed button.
const SCRIPT: &str = "document.addEventListener('click',function(event){\
var button=event.target.closest('button[data-toggle]');if(!button)return;\
var on=button.getAttribute('aria-pressed')!=='true';button.setAttribute('aria-pressed',String(on));\
button.closest('[data-chart]').querySelectorAll('g[data-series]').forEach(function(curve){\
if(curve.getAttribute('data-series')===button.getAttribute('data-toggle'))\
curve.style.display=on?'':'none'})});";

/// What the page may do: draw itself with its own style and run exactly [`SCRIPT`], whose hash this is
/// (`printf %s SCRIPT | openssl dgst -sha256 -binary | base64`). A browser refuses everything else.
const POLICY: &str = "default-src 'none';style-src 'unsafe-inline';script-src 'sha256-waoynbDwcos+z/O6x/R0+iym9nZeRkPpUKOf9jfqYQI=';\
base-uri 'none';form-action 'none'";

/// Elements of the head.
pub(super) fn head() -> [Element; 2] {
    let policy = element("meta")
        .attribute("http-equiv", "Content-Security-Policy")
        .attribute("content", POLICY);
    let style = element("style").child(Node::Markup(STYLE.into()));
    [policy, style]
}

/// The script, at the end of the body.
pub(super) fn script() -> Element {
    element("script").child(Node::Markup(SCRIPT.into()))
}
