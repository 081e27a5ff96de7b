//! nn-rs inspect: which experts a text visits.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use nn_core::json_strict::{Json, Object};
use nn_core::model::inspection::{LayerRouting, inspect_routing};
use nn_core::{files, messages};
use unicode_general_category::{GeneralCategory, get_general_category};

use crate::arguments::{path, text};
use crate::common::{AsJson, Device, NtkAlpha, Outcome, model_tokenizer, print, print_result};

/// Show the experts chosen per token and layer, the router's entropy and the load per expert.
#[derive(Debug, Args)]
pub struct Options {
    /// a checkpoint folder
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    model: String,
    /// the text to look at
    #[arg(long, required = true, value_parser = text(), allow_hyphen_values = true)]
    prompt: String,
    /// a page to write: tokens by layers, coloured by expert
    #[arg(long, value_parser = path(), allow_hyphen_values = true)]
    html: Option<String>,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    ntk: NtkAlpha,
    #[command(flatten)]
    json: AsJson,
}

pub fn run(options: Options) -> Outcome {
    if options.prompt.is_empty() {
        return Err(messages::empty_prompt().into());
    }
    let tokenizer = model_tokenizer(&options.model)?;
    let backend = options.device.open()?;
    let model = options.ntk.load(&options.model, backend)?;
    let ids = tokenizer.encode(&options.prompt)?;
    let narrow: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let layers = inspect_routing(&model, &narrow)?;
    let pieces: Vec<String> = ids.iter().map(|&id| tokenizer.decode(&[id])).collect();
    let n_experts = model.config.n_experts;
    if let Some(page) = &options.html {
        let text = render_page(&pieces, &layers, n_experts);
        files::write_file(Path::new(page), &mut files::bytes(text.as_bytes()))?;
    }
    if options.json.json {
        return print_result(to_json(options.prompt, &ids, pieces, &layers), true);
    }
    print(&table(&pieces, &layers, n_experts))
}

/// What a person reads: entropy and load per layer, then the experts of every token.
fn table(pieces: &[String], layers: &[LayerRouting], n_experts: usize) -> String {
    let limit = (n_experts as f64).ln();
    let mut out = String::new();
    for (number, layer) in layers.iter().enumerate() {
        let load: Vec<String> = loads(layer).collect();
        out += &format!(
            "layer {number}: entropy {:.3} of {limit:.3} nats\n",
            layer.mean_entropy()
        );
        out += &format!("  load {}\n", load.join("  "));
    }
    for (position, piece) in pieces.iter().enumerate() {
        let chosen: Vec<String> = layers
            .iter()
            .map(|layer| joined(layer.experts_of(position)))
            .collect();
        out += &format!(
            "{position:5}  {:20}  {}\n",
            quoted(piece),
            chosen.join("  ")
        );
    }
    out
}

/// The share of each expert: `3: 12.5%`.
fn loads(layer: &LayerRouting) -> impl Iterator<Item = String> + '_ {
    layer
        .load
        .iter()
        .enumerate()
        .map(|(expert, share)| format!("{expert}: {:.1}%", 100.0 * share))
}

fn joined(experts: &[i32]) -> String {
    experts
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("+")
}

/// A piece of text in quotes, as Python shows it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for character in text.chars() {
        let code = u32::from(character);
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => out.extend(['\\', character]),
            _ if printable(character) => out.push(character),
            _ if code < 0x100 => out.push_str(&format!("\\x{code:02x}")),
            _ if code < 0x10000 => out.push_str(&format!("\\u{code:04x}")),
            _ => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out.push(quote);
    out
}

/// Neither a control, format, private-use or unassigned character nor a separator but the space.
fn printable(character: char) -> bool {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate,
        Unassigned,
    };
    match get_general_category(character) {
        Control | Format | Surrogate | PrivateUse | Unassigned => false,
        SpaceSeparator | LineSeparator | ParagraphSeparator => character == ' ',
        _ => true,
    }
}

/// The fields of --json.
fn to_json(prompt: String, ids: &[u32], pieces: Vec<String>, layers: &[LayerRouting]) -> Object {
    let described = layers.iter().map(|layer| {
        let tokens = 0..layer.entropy.len();
        let experts = tokens
            .clone()
            .map(|t| Json::Array(layer.experts_of(t).iter().map(|&e| e.into()).collect()));
        let weight = |&weight: &f32| Json::from(f64::from(weight));
        let weights = tokens.map(|t| Json::Array(layer.weights_of(t).iter().map(weight).collect()));
        let mut fields = Object::new();
        fields.insert("experts", experts.collect::<Vec<_>>());
        fields.insert("weights", weights.collect::<Vec<_>>());
        fields.insert(
            "entropy",
            layer
                .entropy
                .iter()
                .map(|&value| value.into())
                .collect::<Vec<Json>>(),
        );
        fields.insert(
            "load",
            layer
                .load
                .iter()
                .map(|&value| value.into())
                .collect::<Vec<Json>>(),
        );
        Json::Object(fields)
    });
    let described: Vec<Json> = described.collect();
    let mut fields = Object::new();
    fields.insert("prompt", prompt);
    fields.insert(
        "ids",
        ids.iter().map(|&id| id.into()).collect::<Vec<Json>>(),
    );
    fields.insert(
        "tokens",
        pieces.into_iter().map(Json::from).collect::<Vec<_>>(),
    );
    fields.insert("layers", described);
    fields
}

/// One self-contained page: a row per token, a cell per layer, the first expert's colour, all choices
/// in words.
fn render_page(pieces: &[String], layers: &[LayerRouting], n_experts: usize) -> String {
    let head: String = (0..layers.len())
        .map(|number| format!("<th>{number}</th>"))
        .collect();
    let rows: Vec<String> = pieces
        .iter()
        .enumerate()
        .map(|(position, piece)| {
            let cells: String = layers
                .iter()
                .map(|layer| cell(layer, position, n_experts))
                .collect();
            format!(
                "<tr><th><code>{}</code></th>{cells}</tr>",
                escaped(&quoted(piece))
            )
        })
        .collect();
    let limit = (n_experts as f64).ln();
    let mut load = String::new();
    for (number, layer) in layers.iter().enumerate() {
        let (mean, shares) = (
            layer.mean_entropy(),
            loads(layer).collect::<Vec<_>>().join(", "),
        );
        // Writing into a String cannot fail.
        let _ = write!(
            load,
            "<p>layer {number}: mean entropy {mean:.3} of {limit:.3} nats; load {shares}</p>"
        );
    }
    PAGE.replace("{head}", &head)
        .replace("{loads}", &load)
        .replace("{rows}", &rows.join("\n"))
}

fn cell(layer: &LayerRouting, position: usize, n_experts: usize) -> String {
    let experts = layer.experts_of(position);
    let pairs = experts.iter().zip(layer.weights_of(position));
    let words: Vec<String> = pairs
        .map(|(expert, weight)| format!("expert {expert}: {weight:.2}"))
        .collect();
    let hue = 360 * experts.first().map_or(0, |&expert| expert as usize) / n_experts;
    format!(
        r#"<td style="--hue:{hue}" title="{}">{}</td>"#,
        words.join(", "),
        joined(experts)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}

const PAGE: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Experts per token and layer</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { margin: 1.5rem; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.15rem 0.5rem; text-align: center; white-space: nowrap; }
tbody th { text-align: left; font-weight: normal; position: sticky; left: 0; background: Canvas; }
td { background: hsl(var(--hue) 60% 50% / 35%); }
div { overflow-x: auto; }
</style>
<h1>Experts per token and layer</h1>
<p>Each cell names the chosen experts, best first; its colour is that of the first. Hover for the weights.</p>
<div><table><thead><tr><th>token</th>{head}</tr></thead><tbody>
{rows}
</tbody></table></div>
<h2>Load</h2>
{loads}
</html>
"#;

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_piece_is_quoted_as_python_quotes_it() {
        for (text, want) in [
            ("a b~", "'a b~'"),
            ("it's", "\"it's\""),
            ("'\"", "'\\'\"'"),
            ("\\\n\r\t\u{7f}\u{ad}\u{a0}", r"'\\\n\r\t\x7f\xad\xa0'"),
            (
                "\u{200b}\u{2028}\u{2029}\u{3000}",
                r"'\u200b\u2028\u2029\u3000'",
            ),
            (
                "\u{e000}\u{378}\u{fffe}\u{feff}",
                r"'\ue000\u0378\ufffe\ufeff'",
            ),
            ("\u{e0001}\u{10ffff}", r"'\U000e0001\U0010ffff'"),
            (
                "e\u{301} \u{65e5} \u{1f600} \u{fffd}",
                "'e\u{301} \u{65e5} \u{1f600} \u{fffd}'",
            ),
        ] {
            assert_eq!(quoted(text), want);
        }
    }
}
