use crate::{Element, KernelError, Operand, Real};

/// One operand as the twin sees it.
#[derive(Debug)]
pub enum View<'a, T> {
    /// Left out.
    Absent,
    /// Real numbers, read only.
    Float(&'a [T]),
    /// Real numbers, writable.
    FloatMut(&'a mut [T]),
    /// Words, read only.
    Word(&'a [u32]),
    /// Words, writable.
    WordMut(&'a mut [u32]),
}

impl<T> View<'_, T> {
    /// Element count; 0 when absent.
    pub fn len(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Float(x) => x.len(),
            Self::FloatMut(x) => x.len(),
            Self::Word(x) => x.len(),
            Self::WordMut(x) => x.len(),
        }
    }

    /// Whether there is nothing to see.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn describe(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Float(_) => "read-only floats",
            Self::FloatMut(_) => "writable floats",
            Self::Word(_) => "read-only words",
            Self::WordMut(_) => "writable words",
        }
    }
}

/// The operands of one twin call, in binding order.
///
/// Every accessor takes its operand out, so that inputs and outputs can be held side by side.
#[derive(Debug)]
pub struct Operands<'a, T> {
    kernel: &'static str,
    table: &'static [Operand],
    views: Vec<View<'a, T>>,
    packed: Vec<Option<&'a [T]>>,
    /// Whether the twin may spread its work over the thread pool.
    pub parallel: bool,
}

impl<'a, T: Real> Operands<'a, T> {
    /// Operands of the kernel named `kernel` with operand table `table`.
    pub fn new(
        kernel: &'static str,
        table: &'static [Operand],
        views: Vec<View<'a, T>>,
        parallel: bool,
    ) -> Self {
        Self {
            kernel,
            table,
            views,
            packed: Vec::new(),
            parallel,
        }
    }

    /// Adds the packed copies that [`crate::Kernel::pack`] made, by operand.
    #[must_use]
    pub fn with_packed(mut self, packed: Vec<Option<&'a [T]>>) -> Self {
        self.packed = packed;
        self
    }

    /// Packed copy of an operand, if there is one.
    pub fn packed(&self, index: usize) -> Option<&'a [T]> {
        self.packed.get(index).copied().flatten()
    }

    /// Checks presence, kind and length of every operand against the table and `extents`.
    ///
    /// # Errors
    /// [`KernelError::Operand`] naming the first operand that does not fit.
    pub fn check(&self, extents: &[usize]) -> Result<(), KernelError> {
        for (index, operand) in self.table.iter().enumerate() {
            let view = self.views.get(index).unwrap_or(&View::Absent);
            let extent = extents.get(index).copied().unwrap_or(0);
            let writable = operand.access != crate::Access::Read;
            let fits = match view {
                View::Absent => extent == 0 && operand.optional,
                View::Float(_) => operand.element == Element::Float && !writable,
                View::FloatMut(_) => operand.element == Element::Float && writable,
                View::Word(_) => operand.element == Element::Word && !writable,
                View::WordMut(_) => operand.element == Element::Word && writable,
            };
            if !fits || view.len() < extent {
                return Err(self.mismatch(
                    index,
                    format!("{:?} of at least {extent} elements", operand.element),
                    format!("{} of {} elements", view.describe(), view.len()),
                ));
            }
        }
        Ok(())
    }

    fn mismatch(&self, index: usize, expected: String, found: String) -> KernelError {
        KernelError::Operand {
            kernel: self.kernel,
            operand: self
                .table
                .get(index)
                .map_or_else(|| format!("#{index}"), |o| o.name.to_string()),
            expected,
            found,
        }
    }

    fn take(&mut self, index: usize) -> View<'a, T> {
        match self.views.get_mut(index) {
            Some(view) => std::mem::replace(view, View::Absent),
            None => View::Absent,
        }
    }

    /// Takes a real-valued input.
    ///
    /// # Errors
    /// [`KernelError::Operand`] if it is absent or of another kind.
    pub fn float(&mut self, index: usize) -> Result<&'a [T], KernelError> {
        match self.take(index) {
            View::Float(x) => Ok(x),
            other => Err(self.mismatch(index, "read-only floats".into(), other.describe().into())),
        }
    }

    /// Takes an optional real-valued input; an absent one is an empty slice.
    ///
    /// # Errors
    /// [`KernelError::Operand`] if it is of another kind.
    pub fn float_or_empty(&mut self, index: usize) -> Result<&'a [T], KernelError> {
        match self.take(index) {
            View::Absent => Ok(&[]),
            View::Float(x) => Ok(x),
            other => Err(self.mismatch(index, "read-only floats".into(), other.describe().into())),
        }
    }

    /// Takes a real-valued output or in-place operand.
    ///
    /// # Errors
    /// [`KernelError::Operand`] if it is absent or of another kind.
    pub fn float_mut(&mut self, index: usize) -> Result<&'a mut [T], KernelError> {
        match self.take(index) {
            View::FloatMut(x) => Ok(x),
            other => Err(self.mismatch(index, "writable floats".into(), other.describe().into())),
        }
    }

    /// Takes a word-valued input.
    ///
    /// # Errors
    /// [`KernelError::Operand`] if it is absent or of another kind.
    pub fn words(&mut self, index: usize) -> Result<&'a [u32], KernelError> {
        match self.take(index) {
            View::Word(x) => Ok(x),
            other => Err(self.mismatch(index, "read-only words".into(), other.describe().into())),
        }
    }

    /// Takes an optional word-valued input; an absent one is an empty slice.
    ///
    /// # Errors
    /// [`KernelError::Operand`] if it is of another kind.
    pub fn words_or_empty(&mut self, index: usize) -> Result<&'a [u32], KernelError> {
        match self.take(index) {
            View::Absent => Ok(&[]),
            View::Word(x) => Ok(x),
            other => Err(self.mismatch(index, "read-only words".into(), other.describe().into())),
        }
    }

    /// Takes a word-valued output or in-place operand.
    ///
    /// # Errors
    /// [`KernelError::Operand`] if it is absent or of another kind.
    pub fn words_mut(&mut self, index: usize) -> Result<&'a mut [u32], KernelError> {
        match self.take(index) {
            View::WordMut(x) => Ok(x),
            other => Err(self.mismatch(index, "writable words".into(), other.describe().into())),
        }
    }
}
