//! Noise that a draw starts from: the same for a draw whatever the batch, the order or the device.

use attractor_kernels::philox::philox4x32;
use std::f64::consts::TAU;

/// Fills `out` with the standard normals of one draw of one frame, times `temperature`.
///
/// Philox4x32-10 under key `(seed low, seed high)` at counter `(element / 4, draw, frame, stream)`; the
/// words `(w0, w1)` and `(w2, w3)` each give `r cos a` and `r sin a` with `r = sqrt(-2 ln((w + 1) 2^-32))`
/// and `a = 2 pi w' 2^-32` (Box, Muller 1958). Computed in f64.
pub fn fill_noise(
    out: &mut [f32],
    (seed, stream): (u64, u32),
    (frame, draw): (u32, u32),
    temperature: f32,
) {
    let key = [seed as u32, (seed >> 32) as u32];
    for (block, values) in (0u32..).zip(out.chunks_mut(4)) {
        let words = philox4x32([block, draw, frame, stream], key);
        let [a, b] = normals(words[0], words[1]);
        let [c, d] = normals(words[2], words[3]);
        for (value, normal) in values.iter_mut().zip([a, b, c, d]) {
            *value = (normal * f64::from(temperature)) as f32;
        }
    }
}

fn normals(word: u32, other: u32) -> [f64; 2] {
    const SCALE: f64 = 1.0 / 4_294_967_296.0;
    let radius = (-2.0 * ((f64::from(word) + 1.0) * SCALE).ln()).sqrt();
    let angle = TAU * f64::from(other) * SCALE;
    [radius * angle.cos(), radius * angle.sin()]
}

#[cfg(test)]
mod tests {
    use super::fill_noise;

    #[test]
    fn has_the_moments_of_a_standard_normal() {
        let (mut sum, mut squares, mut fourth) = (0.0, 0.0, 0.0);
        let mut values = [0.0f32; 13];
        let count = 20_000u32;
        for draw in 0..count {
            fill_noise(&mut values, (7, 0), (draw / 32, draw % 32), 1.0);
            for value in values.map(f64::from) {
                sum += value;
                squares += value * value;
                fourth += value.powi(4);
            }
        }
        let n = f64::from(count) * 13.0;
        assert!((sum / n).abs() < 0.01, "mean {}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.02, "variance {}", squares / n);
        assert!((fourth / n - 3.0).abs() < 0.1, "kurtosis {}", fourth / n);
    }

    #[test]
    fn depends_on_seed_stream_frame_and_draw_alone() {
        let noise = |key, place, temperature| {
            let mut values = [0.0f32; 12];
            fill_noise(&mut values, key, place, temperature);
            values
        };
        let base = noise((1, 2), (3, 4), 1.0);
        assert_eq!(base, noise((1, 2), (3, 4), 1.0));
        for other in [
            noise((9, 2), (3, 4), 1.0),
            noise((1 << 40 | 1, 2), (3, 4), 1.0),
            noise((1, 9), (3, 4), 1.0),
            noise((1, 2), (9, 4), 1.0),
            noise((1, 2), (3, 9), 1.0),
        ] {
            assert!(base.iter().zip(other).all(|(a, b)| *a != b));
        }
        let doubled = noise((1, 2), (3, 4), 2.0);
        assert!(base.iter().zip(doubled).all(|(a, b)| 2.0 * a == b));
        let mut longer = [0.0f32; 17];
        fill_noise(&mut longer, (1, 2), (3, 4), 1.0);
        assert_eq!(longer[..12], base);
    }
}
