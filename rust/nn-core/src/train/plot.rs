//! loss.png: the loss of every step, a smoothed line through it, and the held-out loss.

use std::path::Path;

use font8x8::{BASIC_FONTS, UnicodeFonts};
use plotters::prelude::*;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind, FontTransform,
};

use super::metrics::read_metrics;
use crate::error::Result;
use crate::files;
use crate::json_strict::{Json, Object};
use crate::tensor::TensorError;

/// Weight of the past in the moving average.
pub const SMOOTHING: f64 = 0.98;

const WIDTH: usize = 1200;
const HEIGHT: usize = 675;
/// Pixels of a character's height, twice that of the font, and to the next character.
const CHARACTER: i32 = 16;
const ADVANCE: i32 = 10;

/// Draws metrics.jsonl into a PNG. Errors: those of [`read_metrics`], disk_full, cannot_write.
pub fn plot_loss(metrics: &Path, out: &Path) -> Result<()> {
    let lines = read_metrics(metrics)?;
    let steps = series(&lines, "cross_entropy");
    let heldout = series(&lines, "heldout_loss");
    let mut pixels = vec![255; 3 * WIDTH * HEIGHT];
    draw(&mut pixels, &steps, &heldout)
        .map_err(|error| TensorError::Shape(format!("the plot: {error}")))?;
    let encoded =
        encode(&pixels).map_err(|error| TensorError::Shape(format!("the plot: {error}")))?;
    files::write_file(out, &mut files::bytes(&encoded))
}

/// Exponential moving average, corrected for its start; values that are not finite are passed over.
pub fn smoothed(values: &[f64]) -> Vec<f64> {
    let (mut total, mut weight) = (0.0, 0.0);
    values
        .iter()
        .map(|&value| {
            if value.is_finite() {
                total = SMOOTHING * total + (1.0 - SMOOTHING) * value;
                weight = SMOOTHING * weight + (1.0 - SMOOTHING);
            }
            if weight > 0.0 { total / weight } else { value }
        })
        .collect()
}

fn series(lines: &[Object], field: &str) -> Vec<(f64, f64)> {
    lines
        .iter()
        .filter_map(|line| match (line.get("step"), line.get(field)) {
            (Some(Json::Int(step)), Some(Json::Float(value))) => Some((*step as f64, *value)),
            _ => None,
        })
        .collect()
}

fn draw(
    pixels: &mut [u8],
    steps: &[(f64, f64)],
    heldout: &[(f64, f64)],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (light, dark, red) = (
        RGBColor(157, 184, 217),
        RGBColor(31, 78, 140),
        RGBColor(196, 83, 43),
    );
    let losses: Vec<f64> = steps.iter().map(|(_, loss)| *loss).collect();
    let smooth: Vec<(f64, f64)> = steps
        .iter()
        .map(|(step, _)| *step)
        .zip(smoothed(&losses))
        .collect();
    let everything = || {
        steps
            .iter()
            .chain(heldout)
            .map(|(_, loss)| *loss)
            .filter(|loss| loss.is_finite())
    };
    let (low, high) = everything().fold((f64::MAX, f64::MIN), |(l, h), loss| {
        (l.min(loss), h.max(loss))
    });
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let margin = 0.05 * (high - low).max(0.1);
    let last = steps
        .iter()
        .chain(heldout)
        .map(|(step, _)| *step)
        .fold(2.0, f64::max);
    let bitmap = BitMapBackend::with_buffer(pixels, (WIDTH as u32, HEIGHT as u32));
    let area = Lettered(bitmap).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(20)
        .x_label_area_size(60)
        .y_label_area_size(90)
        .build_cartesian_2d(1.0..last, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc("step")
        .y_desc("cross entropy, nats per token")
        .x_label_formatter(&|step| format!("{step:.0}"))
        .y_label_formatter(&|loss| format!("{loss:.2}"))
        .label_style(("sans-serif", CHARACTER))
        .axis_desc_style(("sans-serif", CHARACTER))
        .draw()?;
    let finite = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points
            .iter()
            .copied()
            .filter(|(_, loss)| loss.is_finite())
            .collect()
    };
    let key = |color: RGBColor| {
        move |(x, y)| {
            PathElement::new(
                vec![(x, y), (x + 30, y)],
                ShapeStyle::from(color).stroke_width(3),
            )
        }
    };
    chart
        .draw_series(LineSeries::new(finite(steps), &light))?
        .label("step")
        .legend(key(light));
    let thick = ShapeStyle::from(dark).stroke_width(3);
    chart
        .draw_series(LineSeries::new(finite(&smooth), thick))?
        .label("smoothed")
        .legend(key(dark));
    if !heldout.is_empty() {
        let points =
            LineSeries::new(finite(heldout), ShapeStyle::from(red).stroke_width(2)).point_size(4);
        chart
            .draw_series(points)?
            .label("held out")
            .legend(key(red));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .legend_area_size(40)
        .label_font(("sans-serif", CHARACTER))
        .background_style(WHITE)
        .draw()?;
    area.present()?;
    Ok(())
}

fn encode(pixels: &[u8]) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(out)
}

/// A bitmap that writes letters from an 8 x 8 font, so that the axes are labelled on a machine without
/// fonts.
struct Lettered<'a>(BitMapBackend<'a>);

impl DrawingBackend for Lettered<'_> {
    type ErrorType = <BitMapBackend<'static> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.0.get_size()
    }

    fn ensure_prepared(&mut self) -> std::result::Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.0.ensure_prepared()
    }

    fn present(&mut self) -> std::result::Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.0.present()
    }

    fn draw_pixel(
        &mut self,
        point: BackendCoord,
        color: BackendColor,
    ) -> std::result::Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.0.draw_pixel(point, color)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> std::result::Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.0.draw_line(from, to, style)
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _style: &S,
    ) -> std::result::Result<(u32, u32), DrawingErrorKind<Self::ErrorType>> {
        Ok((
            ADVANCE as u32 * text.chars().count() as u32,
            CHARACTER as u32,
        ))
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> std::result::Result<(), DrawingErrorKind<Self::ErrorType>> {
        let (width, height) = (ADVANCE * text.chars().count() as i32, CHARACTER);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        for (index, character) in (0..).zip(text.chars()) {
            let rows = BASIC_FONTS.get(character).unwrap_or_default();
            for (row, bits) in (0..).zip(rows) {
                for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                    // A pixel of the font is two high, so that letters are as tall as in print.
                    for down in [top + 2 * row, top + 2 * row + 1] {
                        let across = left + index * ADVANCE + column;
                        let (px, py) = match style.transform() {
                            FontTransform::None => (across, down),
                            FontTransform::Rotate90 => (-down, across),
                            FontTransform::Rotate180 => (-across, -down),
                            FontTransform::Rotate270 => (down, -across),
                        };
                        self.0.draw_pixel((x + px, y + py), style.color())?;
                    }
                }
            }
        }
        Ok(())
    }
}
