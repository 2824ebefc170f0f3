//! Tables of several models over one window that grows when it must.

use super::{Action, Layout, LearnedMaze, MazeError, Position, TransitionTable, Window};
use crate::device::Device;

/// Positions around the grid at first.
const FIRST_MARGIN: i32 = 6;
/// Positions around the grid at most: beyond, a model is told to run off.
const LAST_MARGIN: i32 = 192;

/// Dynamics of the maze.
#[derive(Debug, Clone)]
pub enum MazeModel {
    /// The maze itself.
    True,
    /// What a network makes of it.
    Learned(LearnedMaze),
}

impl MazeModel {
    fn name(&self) -> &str {
        match self {
            Self::True => "true dynamics",
            Self::Learned(model) => model.name(),
        }
    }

    fn table(
        &self,
        device: &Device,
        layout: &Layout,
        window: Window,
    ) -> Result<TransitionTable, MazeError> {
        match self {
            Self::True => Ok(TransitionTable::of_layout(layout, window)),
            Self::Learned(model) => model.table(device, layout, window),
        }
    }
}

/// Models of one maze as tables over one window.
#[derive(Debug)]
pub struct Atlas<'a> {
    layout: &'a Layout,
    device: Device,
    models: Vec<MazeModel>,
    margin: i32,
    tables: Vec<TransitionTable>,
}

impl<'a> Atlas<'a> {
    /// The tables of `models` over the grid and six positions around it.
    ///
    /// # Errors
    /// [`MazeError`] for predictions that are no displacement, and from the device.
    pub fn new(
        layout: &'a Layout,
        device: &Device,
        models: Vec<MazeModel>,
    ) -> Result<Self, MazeError> {
        let mut atlas = Self {
            layout,
            device: device.clone(),
            models,
            margin: FIRST_MARGIN,
            tables: Vec::new(),
        };
        atlas.draw()?;
        Ok(atlas)
    }

    fn draw(&mut self) -> Result<(), MazeError> {
        let window = Window::around(self.layout, self.margin);
        let models = self.models.iter();
        let tables: Result<_, MazeError> = models
            .map(|model| model.table(&self.device, self.layout, window))
            .collect();
        self.tables = tables?;
        Ok(())
    }

    /// The maze.
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// Where tables are made and plans are scored.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Models.
    pub fn models(&self) -> &[MazeModel] {
        &self.models
    }

    /// Their tables, all over the same window.
    pub fn tables(&self) -> &[TransitionTable] {
        &self.tables
    }

    /// The window of all tables.
    pub fn window(&self) -> Window {
        Window::around(self.layout, self.margin)
    }

    /// Makes all tables again over a window with twice the margin, for `model` has left this one.
    ///
    /// # Errors
    /// [`MazeError::Window`] where it is as large as can be; as [`Atlas::new`].
    pub fn enlarge(&mut self, model: usize) -> Result<(), MazeError> {
        if self.margin >= LAST_MARGIN {
            let name = self.models.get(model).map_or("a model", MazeModel::name);
            return Err(MazeError::Window {
                model: name.to_string(),
                limit: self.margin,
            });
        }
        self.margin = (2 * self.margin).min(LAST_MARGIN);
        self.draw()
    }

    /// Where a model imagines that a sequence of actions leads.
    ///
    /// # Errors
    /// As [`Atlas::enlarge`]; [`MazeError::Setting`] for a model that is not there.
    pub fn roll(
        &mut self,
        model: usize,
        from: Position,
        actions: &[Action],
    ) -> Result<Position, MazeError> {
        loop {
            let Some(table) = self.tables.get(model) else {
                let expected = format!("below {}", self.tables.len());
                return Err(MazeError::setting("model", expected, model));
            };
            match table.roll(from, actions) {
                Some(end) => return Ok(end),
                None => self.enlarge(model)?,
            }
        }
    }
}
