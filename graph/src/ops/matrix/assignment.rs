//! Rows and columns assigned to each other.

use crate::bounds;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::real;
use crate::ops::kit::grid::Grid;
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{item, item_mut, only, size};
use crate::ops::kit::sample::{cycle, sample};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The rows and columns, `i64`, of the elements of a cost matrix, none two in one row or column, whose sum is least, or with
    /// `maximize` greatest; rows are in order. Only the first `dimension_limit` columns count; the rest is −1.
    object LinearSumAssignment { cost_matrix: Operand, dimension_limit: i64, maximize: bool }
}

/// For each row, of which there are at most as many as columns, the column that it is given: by shortest paths.
fn assigned(cost: impl Fn(usize, usize) -> f64, n: usize, m: usize) -> Result<Vec<usize>, OpError> {
    // Row `owner[j]` has column `j`; both count from 1, and 0 stands for the row that looks for one.
    let (mut u, mut v) = (vec![0.0; n + 1], vec![0.0; m + 1]);
    let (mut owner, mut way) = (vec![0; m + 1], vec![0; m + 1]);
    for row in 1..=n {
        bounds::check()?;
        *item_mut(&mut owner, 0)? = row;
        let (mut col, mut least, mut used) = (0, vec![f64::INFINITY; m + 1], vec![false; m + 1]);
        while *item(&owner, col)? != 0 {
            *item_mut(&mut used, col)? = true;
            let (own, mut delta, mut next) = (*item(&owner, col)?, f64::INFINITY, 0);
            for j in 1..=m {
                if *item(&used, j)? {
                    continue;
                }
                let reduced = cost(own - 1, j - 1) - item(&u, own)? - item(&v, j)?;
                if reduced < *item(&least, j)? {
                    *item_mut(&mut least, j)? = reduced;
                    *item_mut(&mut way, j)? = col;
                }
                if *item(&least, j)? < delta {
                    (delta, next) = (*item(&least, j)?, j);
                }
            }
            ensure!(delta.is_finite(), "no assignment has a finite cost");
            for j in 0..=m {
                if *item(&used, j)? {
                    *item_mut(&mut u, *item(&owner, j)?)? += delta;
                    *item_mut(&mut v, j)? -= delta;
                } else {
                    *item_mut(&mut least, j)? -= delta;
                }
            }
            col = next;
        }
        while col != 0 {
            let before = *item(&way, col)?;
            *item_mut(&mut owner, col)? = *item(&owner, before)?;
            col = before;
        }
    }
    let mut columns = vec![0; n];
    for (j, row) in owner.into_iter().enumerate().skip(1).filter(|(_, row)| *row > 0) {
        *item_mut(&mut columns, row - 1)? = j - 1;
    }
    Ok(columns)
}

impl LinearSumAssignment {
    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (fact, x) = (only(facts)?, Grid::<2>::read(&self.cost_matrix)?);
        let [rows, width] = x.dims;
        let cols = size(self.dimension_limit, "dimension_limit")?.min(width);
        let values = self.cost_matrix.f64s()?;
        ensure!(values.iter().all(|x| !x.is_nan()), "expected costs, found NaN");
        let sign = if self.maximize { -1.0 } else { 1.0 };
        let at = |i: usize, j: usize| sign * x.at([i, j]).unwrap_or(f64::INFINITY);
        let mut pairs: Vec<(usize, usize)> = if rows <= cols {
            assigned(at, rows, cols)?.into_iter().enumerate().collect()
        } else {
            assigned(|i, j| at(j, i), cols, rows)?.into_iter().enumerate().map(|(j, i)| (i, j)).collect()
        };
        pairs.sort_unstable();
        let mut lists = [vec![-1i64; fact.count()], vec![-1i64; fact.count()]];
        for (k, (i, j)) in pairs.into_iter().enumerate() {
            *item_mut(&mut lists[0], k)? = i as i64;
            *item_mut(&mut lists[1], k)? = j as i64;
        }
        lists.iter().map(|list| Ok(Tensor::from_i64s(DType::I64, &fact.shape, list)?)).collect()
    }
}

impl Operator for LinearSumAssignment {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            let [rows, cols] = self.cost_matrix.fact.ranked()?;
            real(&self.cost_matrix)?;
            Ok(vec![Fact::new(DType::I64, &[rows.min(cols)]); 2])
        };
        Ok(host(facts, |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let costs = [4.0, 1.0, 3.0, 2.0, 0.0, 5.0, 3.0, 2.0, 2.5, 9.0, 8.0, 7.0];
        let tall = || sample().arg(cycle(DType::F64, &[4, 3], &costs));
        vec![
            tall().int(3).flag(false).exact("least"),
            tall().int(2).flag(true).exact("greatest of two columns"),
            sample().arg(cycle(DType::F64, &[2, 3], &costs)).int(3).flag(false).exact("wide"),
        ]
    }
}
