//! Colour, on a terminal only (<https://no-color.org> is obeyed).

use std::io::IsTerminal;

/// What a word is painted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// As it stands.
    None,
    /// Went, or broken.
    Red,
    /// Came.
    Green,
    /// Changed, or dubious.
    Yellow,
}

/// The text with its colour, if stdout shows any.
pub(crate) fn painted(colour: Colour, text: &str) -> String {
    let is_shown = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if is_shown { with_codes(colour, text) } else { text.to_owned() }
}

fn with_codes(colour: Colour, text: &str) -> String {
    let code = match colour {
        Colour::None => return text.to_owned(),
        Colour::Red => 31,
        Colour::Green => 32,
        Colour::Yellow => 33,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_ends_where_its_text_does() {
        assert_eq!(with_codes(Colour::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(with_codes(Colour::None, "x"), "x");
    }
}
