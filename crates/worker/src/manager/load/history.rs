//! What was measured lately.

use std::collections::VecDeque;

/// Samples that are kept of everything.
const HISTORY: usize = 150;

/// The last samples of something.
#[derive(Clone, Debug, Default)]
pub(super) struct Average {
    samples: VecDeque<f64>,
}

impl Average {
    pub(super) fn push(&mut self, sample: f64) {
        if self.samples.len() == HISTORY {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Their mean.
    pub(super) fn get(&self) -> Option<f64> {
        let samples = self.samples.len();
        (samples > 0).then(|| self.samples.iter().sum::<f64>() / samples as f64)
    }

    /// Nine of ten are no larger.
    pub(super) fn p90(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.samples.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get((sorted.len() * 9 / 10).min(sorted.len().saturating_sub(1))).copied()
    }
}
