//! Products of a few rows with a large matrix that stays the same: what a small model spends its time
//! with. The matrix is packed once, so that every product reads it from beginning to end, as fast as
//! memory gives it, and keeps the sums in registers (Goto and van de Geijn, "Anatomy of High-Performance
//! Matrix Multiplication", 2008). A general library packs it anew, or jumps through it, for each
//! product.

use pulp::{Arch, Simd, WithSimd};

/// Registers beside each other in a panel.
const ABREAST: usize = 2;

/// A matrix (from, to) and a sum for each of its columns, packed for this CPU.
#[derive(Debug)]
pub struct Packed {
    arch: Arch,
    from: usize,
    to: usize,
    /// Columns of a panel.
    width: usize,
    /// Panels one after another, each row by row; the last is filled up with zeros.
    panels: Vec<f32>,
    /// As long as all the panels are wide.
    bias: Vec<f32>,
}

impl Packed {
    /// Of columns that are `from` long each, as models keep weights: (to, from).
    pub fn of_columns<'a>(columns: impl ExactSizeIterator<Item = &'a [f32]>, from: usize) -> Self {
        Self::of_columns_for(Arch::new(), columns, from)
    }

    fn of_columns_for<'a>(
        arch: Arch,
        columns: impl ExactSizeIterator<Item = &'a [f32]>,
        from: usize,
    ) -> Self {
        let mut packed = Self::empty(arch, from, columns.len());
        let width = packed.width;
        for (at, column) in columns.enumerate() {
            let panel = &mut packed.panels[at / width * width * from..];
            for (row, number) in panel.chunks_exact_mut(width).zip(&column[..from]) {
                row[at % width] = *number;
            }
        }
        packed
    }

    /// Of rows that are `to` long each.
    pub fn of_rows<'a>(rows: impl ExactSizeIterator<Item = &'a [f32]>, to: usize) -> Self {
        let from = rows.len();
        let mut packed = Self::empty(Arch::new(), from, to);
        let width = packed.width;
        for (at, row) in rows.enumerate() {
            for (panel, row) in row[..to].chunks(width).enumerate() {
                packed.panels[(panel * from + at) * width..][..row.len()].copy_from_slice(row);
            }
        }
        packed
    }

    fn empty(arch: Arch, from: usize, to: usize) -> Self {
        let width = ABREAST * arch.dispatch(Lanes);
        let columns = to.next_multiple_of(width);
        let (panels, bias) = (vec![0.0; columns * from], vec![0.0; columns]);
        Self { arch, from, to, width, panels, bias }
    }

    /// With a sum for each column; what is missing is 0.
    #[must_use]
    pub fn plus(mut self, bias: &[f32]) -> Self {
        for (sum, bias) in self.bias[..self.to].iter_mut().zip(bias) {
            *sum = *bias;
        }
        self
    }

    /// The product of `rows` (n, from) and the matrix, plus the bias in every row, into `product`: (n, to).
    pub fn multiply(&self, rows: &[f32], product: &mut Vec<f32>) {
        product.resize(rows.len().checked_div(self.from).unwrap_or(0) * self.to, 0.0);
        self.arch.dispatch(Product { rows, matrix: self, into: product });
    }
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

struct Product<'a> {
    rows: &'a [f32],
    matrix: &'a Packed,
    into: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Packed { from, to, width, .. } = *self.matrix;
        let panels = self.matrix.panels.chunks_exact((width * from).max(1));
        for (at, panel) in panels.zip(self.matrix.bias.chunks_exact(width)).enumerate() {
            let mut rows = self.rows;
            let mut into = &mut self.into[..];
            // As many rows at once as their sums have registers, beside those of the panel and of a row.
            macro_rules! tiles {
                ($($height:literal)*) => {$(
                    while rows.len() >= $height * from {
                        let (now, rest) = rows.split_at($height * from);
                        let (product, others) = into.split_at_mut($height * to);
                        tile::<S, $height>(simd, now, panel, product, at * width);
                        (rows, into) = (rest, others);
                    }
                )*};
            }
            if S::REGISTER_COUNT >= 32 {
                tiles!(12 8);
            }
            tiles!(6 4 2 1);
        }
    }
}

/// The product of `HEIGHT` rows and a panel with its bias, into the columns of `product` that begin `at`.
#[inline(always)]
fn tile<S: Simd, const HEIGHT: usize>(
    simd: S,
    rows: &[f32],
    (panel, bias): (&[f32], &[f32]),
    product: &mut [f32],
    at: usize,
) {
    let bias = pulp::as_arrays::<ABREAST, _>(S::as_simd_f32s(bias).0).0[0];
    let panel = pulp::as_arrays::<ABREAST, _>(S::as_simd_f32s(panel).0).0;
    let from = panel.len();
    let rows: [&[f32]; HEIGHT] = std::array::from_fn(|row| &rows[row * from..][..from]);
    // By index, not by iterator: the compiler then keeps all of the sums in registers.
    let mut sums = [bias; HEIGHT];
    for column in 0..from {
        let weights = panel[column];
        for row in 0..HEIGHT {
            let factor = simd.splat_f32s(rows[row][column]);
            for n in 0..ABREAST {
                sums[row][n] = simd.mul_add_f32s(factor, weights[n], sums[row][n]);
            }
        }
    }
    let to = product.len() / HEIGHT;
    let mut wide = [0.0; ABREAST * MOST_LANES];
    for row in 0..HEIGHT {
        let into = &mut product[row * to + at..(row + 1) * to];
        let width = into.len().min(ABREAST * S::F32_LANES);
        let lanes = S::as_mut_simd_f32s(&mut wide).0;
        lanes[..ABREAST].copy_from_slice(&sums[row]);
        into[..width].copy_from_slice(&wide[..width]);
    }
}

/// Of any CPU: 512 bits.
const MOST_LANES: usize = 16;

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    /// All that this CPU can do.
    fn archs() -> Vec<Arch> {
        let mut archs = vec![Arch::new(), Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        archs.extend(pulp::x86::V3::try_new().map(Arch::V3));
        archs
    }

    #[test]
    fn it_is_the_product_and_the_sum() {
        let mut random = SmallRng::seed_from_u64(4);
        for (from, to) in [(1, 1), (3, 5), (384, 32), (7, 33), (64, 96), (40, 100)] {
            let mut some = |n: usize| (0..n).map(|_| random.random_range(-1.0..1.0)).collect();
            let (weights, bias): (Vec<f32>, Vec<f32>) = (some(from * to), some(to));
            let turned: Vec<f32> =
                (0..from).flat_map(|row| weights[row..].iter().step_by(from).copied()).collect();
            let mut packed = vec![Packed::of_rows(turned.chunks_exact(to), to).plus(&bias)];
            packed.extend(archs().into_iter().map(|arch| {
                Packed::of_columns_for(arch, weights.chunks_exact(from), from).plus(&bias)
            }));
            let mut product = vec![7.0; 3];
            // Every height of a tile, and together.
            for n in 0..40 {
                let rows: Vec<f32> = some(n * from);
                for packed in &packed {
                    packed.multiply(&rows, &mut product);
                    assert_eq!(product.len(), n * to);
                    for (at, found) in product.iter().enumerate() {
                        let row = &rows[at / to * from..][..from];
                        let column = &weights[at % to * from..][..from];
                        let products = row.iter().zip(column);
                        let exact: f64 = products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        let exact = exact + f64::from(bias[at % to]);
                        // Each addition rounds, by 6e-8 of a sum of some tens at most.
                        assert!((f64::from(*found) - exact).abs() < 5e-5, "{found} is not {exact}");
                    }
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_registers_of_this_cpu_are_used() {
        let width = Arch::new().dispatch(Lanes);
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            assert!(width >= 8, "{width} numbers at once");
        }
        // Every CPU with AVX2 has what pulp asks for with it.
        assert!(archs().len() == 3 || !is_x86_feature_detected!("avx2"));
    }
}
