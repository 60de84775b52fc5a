//! The losses of a training as a picture.

use std::fmt::Write;

use crate::print::number;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const MARGIN: f64 = 24.0;

/// Losses by step as an SVG file.
pub fn svg(losses: &[(u64, f64)]) -> String {
    let steps = || losses.iter().map(|(step, _)| *step as f64);
    let (first, last) = (steps().fold(f64::INFINITY, f64::min), steps().fold(f64::NEG_INFINITY, f64::max));
    let top = losses.iter().map(|(_, loss)| *loss).fold(0.0, f64::max);
    let bottom = losses.iter().map(|(_, loss)| *loss).fold(0.0, f64::min);
    let along = |x: f64, from: f64, to: f64| if to > from { (x - from) / (to - from) } else { 0.5 };
    let x = |step: f64| LEFT + along(step, first, last) * (WIDTH - LEFT - MARGIN);
    let y = |loss: f64| HEIGHT - MARGIN - along(loss, bottom, top) * (HEIGHT - 2.0 * MARGIN);
    let points: Vec<String> =
        losses.iter().map(|(step, loss)| format!("{:.1},{:.1}", x(*step as f64), y(*loss))).collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for loss in [bottom, (bottom + top) / 2.0, top] {
        let (y, label) = (y(loss), number(loss));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{label}</text>",
            WIDTH - MARGIN,
            LEFT - 6.0,
            y + 4.0
        );
    }
    for step in [first, last].into_iter().filter(|step| step.is_finite()) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">step {step}</text>",
            x(step),
            HEIGHT - 8.0
        );
    }
    let points = points.join(" ");
    let _ = writeln!(svg, "<polyline fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"1.5\" points=\"{points}\"/>");
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_goes_through_every_loss() {
        let text = svg(&[(1, 2.0), (2, 1.0), (3, 0.0)]);
        assert!(text.contains("points=\"64.0,24.0 340.0,160.0 616.0,296.0\""), "{text}");
        assert!(text.contains(">step 1<") && text.contains(">step 3<") && text.ends_with("</svg>\n"));
        assert!(svg(&[(7, 1.0)]).contains(",24.0\""));
        assert!(!svg(&[]).contains("NaN"));
    }
}
