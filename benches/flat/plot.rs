//! Draws cost against size.

use plotters::prelude::*;

/// One line of a panel: a name, and cost (CPU us an operation) by size.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One panel.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) sizes: &'static str,
    pub(crate) lines: Vec<Line>,
}

const WIDTH: u32 = 1120;
const PANEL_HEIGHT: u32 = 340;

/// The first is conveyor's.
const COLOURS: [RGBColor; 2] = [RGBColor(0, 90, 180), RGBColor(200, 80, 0)];

/// Writes all panels into one SVG.
pub(crate) fn draw(path: &str, panels: &[Panel]) {
    let rows = panels.len().div_ceil(2);
    let height = PANEL_HEIGHT * u32::try_from(rows).unwrap();
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    for (area, panel) in root.split_evenly((rows, 2)).iter().zip(panels) {
        let points = || panel.lines.iter().flat_map(|line| &line.points);
        let most = points().map(|point| point.0).fold(1.0, f64::max);
        let least = points().map(|point| point.0).fold(most, f64::min);
        // Costs are on a logarithmic scale, too: gearmand's grow by powers of ten.
        let dearest = points().map(|point| point.1).fold(1.0, f64::max) * 2.0;
        let cheapest = points().map(|point| point.1).fold(dearest, f64::min) / 2.0;
        let mut chart = ChartBuilder::on(area)
            .caption(panel.title, ("sans-serif", 17))
            .margin(10)
            .margin_right(28)
            .x_label_area_size(38)
            .y_label_area_size(56)
            .build_cartesian_2d((least..most).log_scale(), (cheapest..dearest).log_scale())
            .unwrap();
        chart
            .configure_mesh()
            .x_desc(panel.sizes)
            .y_desc("server CPU, us an operation")
            .x_label_formatter(&|size| format!("{size:.0}"))
            .y_label_formatter(&|cost| format!("{cost:.1}"))
            .light_line_style(WHITE.mix(0.0))
            .draw()
            .unwrap();
        for (line, colour) in panel.lines.iter().zip(COLOURS) {
            let points = || line.points.iter().copied();
            chart
                .draw_series(LineSeries::new(points(), colour.stroke_width(2)))
                .unwrap()
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled()))).unwrap();
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .draw()
            .unwrap();
    }
    root.present().unwrap();
}
