//! Coefficients of Runge-Kutta methods (Butcher tableaus).

/// An exact ratio: numerator and positive denominator.
pub type Rational = (i32, i32);

/// The value of a ratio.
pub fn real_ratio(ratio: Rational) -> f64 {
    f64::from(ratio.0) / f64::from(ratio.1)
}

/// An explicit Runge-Kutta method for `dx/dt = v(x, t)`:
/// `k_i = v(x + h sum_j a_ij k_j, t + c_i h)`, then `x += h sum_i b_i k_i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tableau {
    /// Name.
    pub name: &'static str,
    /// `c_i`: times of the stages, as parts of a step.
    pub nodes: &'static [Rational],
    /// `a_ij`, row `i` with its `i` entries: coefficients of the earlier stages.
    pub stages: &'static [&'static [Rational]],
    /// `b_i`: coefficients of the result.
    pub weights: &'static [Rational],
    /// `b_i - b*_i`: coefficients of the error estimate, the result less that of the embedded method,
    /// whose order is one lower.
    pub error: Option<&'static [Rational]>,
    /// Order of the result: the error of a step falls as `h^(order + 1)`.
    pub order: u32,
}

impl Tableau {
    /// Whether the last stage is the velocity at the result, and so the first stage of the next step
    /// ("first same as last").
    pub fn first_same_as_last(&self) -> bool {
        let end = (self.nodes.last(), self.weights.split_last());
        let (Some((1, 1)), Some(((0, _), weights))) = end else {
            return false;
        };
        self.stages.last() == Some(&weights)
    }
}

/// All methods here.
pub const TABLEAUS: &[&Tableau] = &[&EULER, &MIDPOINT, &HEUN, &RK4, &DORMAND_PRINCE];

/// The method of Euler, order 1.
pub const EULER: Tableau = Tableau {
    name: "euler",
    nodes: &[(0, 1)],
    stages: &[&[]],
    weights: &[(1, 1)],
    error: None,
    order: 1,
};

/// The midpoint rule, order 2.
pub const MIDPOINT: Tableau = Tableau {
    name: "midpoint",
    nodes: &[(0, 1), (1, 2)],
    stages: &[&[], &[(1, 2)]],
    weights: &[(0, 1), (1, 1)],
    error: None,
    order: 2,
};

/// Heun's method, the explicit trapezoidal rule, order 2.
pub const HEUN: Tableau = Tableau {
    name: "heun",
    nodes: &[(0, 1), (1, 1)],
    stages: &[&[], &[(1, 1)]],
    weights: &[(1, 2), (1, 2)],
    error: None,
    order: 2,
};

/// The classic method of order 4 (Kutta, 1901).
pub const RK4: Tableau = Tableau {
    name: "rk4",
    nodes: &[(0, 1), (1, 2), (1, 2), (1, 1)],
    stages: &[&[], &[(1, 2)], &[(0, 1), (1, 2)], &[(0, 1), (0, 1), (1, 1)]],
    weights: &[(1, 6), (1, 3), (1, 3), (1, 6)],
    error: None,
    order: 4,
};

/// RK5(4)7M of Dormand and Prince, "A family of embedded Runge-Kutta formulae", J. Comp. Appl. Math. 6,
/// 1980: order 5, error estimate of order 4, first same as last.
pub const DORMAND_PRINCE: Tableau = Tableau {
    name: "dormand_prince",
    nodes: &[(0, 1), (1, 5), (3, 10), (4, 5), (8, 9), (1, 1), (1, 1)],
    stages: &[
        &[],
        &[(1, 5)],
        &[(3, 40), (9, 40)],
        &[(44, 45), (-56, 15), (32, 9)],
        &[
            (19_372, 6_561),
            (-25_360, 2_187),
            (64_448, 6_561),
            (-212, 729),
        ],
        &[
            (9_017, 3_168),
            (-355, 33),
            (46_732, 5_247),
            (49, 176),
            (-5_103, 18_656),
        ],
        &[
            (35, 384),
            (0, 1),
            (500, 1_113),
            (125, 192),
            (-2_187, 6_784),
            (11, 84),
        ],
    ],
    weights: &[
        (35, 384),
        (0, 1),
        (500, 1_113),
        (125, 192),
        (-2_187, 6_784),
        (11, 84),
        (0, 1),
    ],
    error: Some(&[
        (71, 57_600),
        (0, 1),
        (-71, 16_695),
        (71, 1_920),
        (-17_253, 339_200),
        (22, 525),
        (-1, 40),
    ]),
    order: 5,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// A rooted tree: its branches. The order conditions are one equation a tree (Butcher, 1963).
    #[derive(Clone, Debug)]
    struct Tree(Vec<Tree>);

    impl Tree {
        fn order(&self) -> u32 {
            1 + self.0.iter().map(Self::order).sum::<u32>()
        }

        fn density(&self) -> f64 {
            f64::from(self.order()) * self.0.iter().map(Self::density).product::<f64>()
        }

        /// One number a stage: the product over branches of `sum_j a_ij branch_j`.
        fn values(&self, tableau: &Tableau) -> Vec<f64> {
            let branches: Vec<_> = self.0.iter().map(|b| b.values(tableau)).collect();
            let row = |row: &&[Rational]| -> f64 {
                let sum = |values: &Vec<f64>| -> f64 {
                    row.iter()
                        .zip(values)
                        .map(|(a, v)| real_ratio(*a) * v)
                        .sum()
                };
                branches.iter().map(sum).product()
            };
            tableau.stages.iter().map(row).collect()
        }
    }

    /// All ways to choose branches of `total` vertices among `trees`, repetition allowed.
    fn forests(trees: &[Tree], total: u32) -> Vec<Vec<Tree>> {
        if total == 0 {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for (index, tree) in trees.iter().enumerate() {
            if tree.order() <= total {
                for mut rest in forests(&trees[index..], total - tree.order()) {
                    rest.push(tree.clone());
                    all.push(rest);
                }
            }
        }
        all
    }

    fn trees(order: u32) -> Vec<Tree> {
        let mut all = Vec::new();
        for vertices in 1..=order {
            let more = forests(&all, vertices - 1);
            all.extend(more.into_iter().map(Tree));
        }
        all
    }

    fn weighted(weights: &[Rational], values: &[f64]) -> f64 {
        let terms = weights.iter().zip(values);
        terms.map(|(b, v)| real_ratio(*b) * v).sum()
    }

    #[test]
    fn shapes_and_row_sums() {
        for tableau in TABLEAUS {
            let stages = tableau.nodes.len();
            assert_eq!(tableau.stages.len(), stages);
            assert_eq!(tableau.weights.len(), stages);
            assert!(tableau.error.is_none_or(|e| e.len() == stages));
            for (index, (row, node)) in tableau.stages.iter().zip(tableau.nodes).enumerate() {
                assert_eq!(row.len(), index, "{}", tableau.name);
                let sum: f64 = row.iter().copied().map(real_ratio).sum();
                assert!((sum - real_ratio(*node)).abs() < 1e-14, "{}", tableau.name);
            }
        }
    }

    #[test]
    fn every_order_condition_holds_up_to_the_order_and_one_fails_beyond() {
        assert_eq!(trees(5).len(), 17);
        for tableau in TABLEAUS {
            let error = |tree: &Tree| {
                let found = weighted(tableau.weights, &tree.values(tableau));
                (found - 1.0 / tree.density()).abs()
            };
            let largest = |order: u32| {
                let of_order = trees(order).into_iter().filter(|t| t.order() == order);
                of_order.map(|t| error(&t)).fold(0.0, f64::max)
            };
            for order in 1..=tableau.order {
                assert!(largest(order) < 1e-14, "{}, order {order}", tableau.name);
            }
            assert!(largest(tableau.order + 1) > 1e-5, "{}", tableau.name);
        }
    }

    #[test]
    fn weights_integrate_polynomials_below_the_order() {
        for tableau in TABLEAUS {
            for power in 0..tableau.order as i32 {
                let nodes = tableau.nodes.iter().map(|c| real_ratio(*c).powi(power));
                let found = weighted(tableau.weights, &nodes.collect::<Vec<_>>());
                assert!((found - 1.0 / f64::from(power + 1)).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn the_embedded_method_is_one_order_lower() {
        for tableau in TABLEAUS {
            let Some(error) = tableau.error else { continue };
            let largest = |order: u32| {
                let of_order = trees(order).into_iter().filter(|t| t.order() == order);
                let values = of_order.map(|t| weighted(error, &t.values(tableau)).abs());
                values.fold(0.0, f64::max)
            };
            for order in 1..tableau.order {
                assert!(largest(order) < 1e-14, "{}, order {order}", tableau.name);
            }
            assert!(largest(tableau.order) > 1e-5, "{}", tableau.name);
        }
        assert!(TABLEAUS.iter().any(|t| t.error.is_some()));
    }

    #[test]
    fn only_dormand_prince_hands_its_last_stage_on() {
        for tableau in TABLEAUS {
            let expected = tableau.name == "dormand_prince";
            assert_eq!(tableau.first_same_as_last(), expected, "{}", tableau.name);
        }
    }
}
