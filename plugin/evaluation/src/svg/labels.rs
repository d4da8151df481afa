//! Places labels beside marks, each where it covers least.

/// A rectangle: left, top, right, bottom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LabelArea(pub f64, pub f64, pub f64, pub f64);

impl LabelArea {
    /// The area that both rectangles cover.
    pub(super) fn shared(self, other: Self) -> f64 {
        let width = self.2.min(other.2) - self.0.max(other.0);
        let height = self.3.min(other.3) - self.1.max(other.1);
        width.max(0.0) * height.max(0.0)
    }

    fn size(self) -> f64 {
        (self.2 - self.0) * (self.3 - self.1)
    }
}

/// A label to be placed.
#[derive(Debug, Clone)]
pub(super) struct PointLabel {
    pub point: (f64, f64),
    pub text: String,
    pub color: &'static str,
}

/// The place of a label, the `x` and `anchor` of its text, and whether it is so far from its mark that it needs a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LabelPlace {
    pub area: LabelArea,
    pub x: f64,
    pub anchor: &'static str,
    pub far: bool,
}

/// An area that labels should avoid, and the cost of covering it.
pub(super) type Obstacle = (LabelArea, f64);

/// Height of a line of text, and the width of a letter: that of wide ones, because fonts differ.
const HEIGHT: f64 = 13.0;
pub(super) const LETTER: f64 = 6.9;

/// Finds places for all labels within a frame of the given size.
pub(super) fn place(labels: &[PointLabel], obstacles: &[Obstacle], (width, height): (f64, f64)) -> Vec<LabelPlace> {
    let mut taken: Vec<Obstacle> = obstacles.to_vec();
    let frame = LabelArea(2.0, 2.0, width - 2.0, height - 2.0);
    let mut places = Vec::new();
    for label in labels {
        let price = |place: &LabelPlace| {
            let covered = taken.iter().filter(|(area, _)| place.area.shared(*area) > 0.0);
            // Covering something at all costs more than covering more of it.
            let covered: f64 = covered.map(|(area, weight)| weight * (20.0 + place.area.shared(*area))).sum();
            covered + 50.0 * (place.area.size() - place.area.shared(frame))
        };
        // Candidates come nearest first; a farther one must be cheaper by a margin.
        let mut best: Option<(f64, LabelPlace)> = None;
        for (rank, candidate) in candidates(label).into_iter().enumerate() {
            let price = price(&candidate) + 2.0 * rank as f64;
            if best.is_none_or(|(least, _)| price < least) {
                best = Some((price, candidate));
            }
        }
        let Some((_, place)) = best else { continue };
        taken.push((place.area, 20.0));
        places.push(place);
    }
    places
}

fn candidates(label: &PointLabel) -> Vec<LabelPlace> {
    let (x, y) = label.point;
    let (width, height) = (LETTER * label.text.chars().count() as f64 + 5.0, HEIGHT);
    let mut found = Vec::new();
    for (ring, distance) in [9.0, 16.0, 26.0, 38.0, 52.0, 68.0].into_iter().enumerate() {
        let slant = distance * 0.75;
        for (dx, dy) in [
            (distance, 0.0),
            (-distance, 0.0),
            (0.0, -distance),
            (0.0, distance),
            (slant, -slant),
            (slant, slant),
            (-slant, -slant),
            (-slant, slant),
        ] {
            let (left, anchor) = match dx {
                dx if dx > 0.0 => (x + dx, "start"),
                dx if dx < 0.0 => (x + dx - width, "end"),
                _ => (x - width / 2.0, "middle"),
            };
            let middle = y + dy + if dx == 0.0 { dy.signum() * height / 4.0 } else { 0.0 };
            let area = LabelArea(left, middle - height / 2.0, left + width, middle + height / 2.0);
            found.push(LabelPlace { area, x: x + dx, anchor, far: ring > 1 });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_dozen_labels_in_a_large_frame_never_cover_each_other(
            points in prop::collection::vec((50.0f64..500.0, 50.0f64..350.0), 1..12)
        ) {
            let label = |&point: &(f64, f64)| PointLabel { point, text: "rsd@0.19".to_owned(), color: "" };
            let labels: Vec<PointLabel> = points.iter().map(label).collect();
            let places = place(&labels, &[], (600.0, 400.0));
            prop_assert_eq!(places.len(), labels.len());
            for (one, place) in places.iter().enumerate() {
                prop_assert!(places[..one].iter().all(|other| other.area.shared(place.area) < 1e-9));
                prop_assert!(place.area.0 >= 0.0 && place.area.2 <= 600.0);
            }
        }
    }
}
