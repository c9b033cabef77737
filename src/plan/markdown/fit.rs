//! Which form of each part a comment has room for.

/// How much of a part is told. Each tells all that the one before it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Name,
    Title,
    Brief,
    Whole,
}

impl Form {
    const ALL: [Self; 4] = [Self::Name, Self::Title, Self::Brief, Self::Whole];
}

/// One thing that the comment tells.
pub(super) struct Part<'a> {
    /// Written when it is asked for: most of a large plan has no room in any but its shortest form.
    write: Box<dyn Fn(Form) -> String + 'a>,
    /// None while not even the shortest had room.
    form: Option<Form>,
    text: String,
}

impl<'a> Part<'a> {
    pub(super) fn new(write: impl Fn(Form) -> String + 'a) -> Self {
        Self { write: Box::new(write), form: None, text: String::new() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_left_out(&self) -> bool {
        self.form.is_none()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.form == Some(Form::Whole)
    }
}

/// Gives each part a form, and takes it off the room: to everyone its shortest before anyone gets the
/// next one, the first parts first.
pub(super) fn fit<'a, 'b: 'a>(parts: impl IntoIterator<Item = &'a mut Part<'b>>, room: &mut usize) {
    let mut growing: Vec<&mut Part<'b>> = parts.into_iter().collect();
    for form in Form::ALL {
        // Whoever could not grow to one form will not grow to the next, which is longer.
        growing.retain_mut(|part| {
            let text = (part.write)(form);
            let fits = text.len() <= *room + part.text.len();
            if fits {
                *room = *room + part.text.len() - text.len();
                (part.form, part.text) = (Some(form), text);
            }
            fits
        });
    }
}
