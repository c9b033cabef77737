//! Colours of pages of ours, and a colour for words on them that can be read.

/// A colour as numbers of the sRGB space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

/// Calm, and readable on light and dark.
pub const DEFAULT_ACCENT: Colour = Colour([0x1f, 0x5f, 0xd6]);

const WHITE: Colour = Colour([0xff; 3]);
const BLACK: Colour = Colour([0x10; 3]);

impl Colour {
    /// Any colour that CSS can say; what shines through it is not.
    pub fn parse(text: &str) -> Option<Self> {
        let colour = csscolorparser::parse(text).ok()?;
        let [red, green, blue, alpha] = colour.to_rgba8();
        (alpha == u8::MAX).then_some(Self([red, green, blue]))
    }

    /// White or nearly black, whichever is easier to read on this.
    #[must_use]
    pub fn text_on_it(self) -> Self {
        if self.contrast(WHITE) >= self.contrast(BLACK) { WHITE } else { BLACK }
    }

    /// How well one is read on the other, by WCAG 2: from 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl std::fmt::Display for Colour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_as_css_says_them() {
        for (text, shown) in [
            ("#1f5fd6", "#1f5fd6"),
            ("#abc", "#aabbcc"),
            ("teal", "#008080"),
            ("rgb(255 0 0)", "#ff0000"),
            ("hsl(120, 100%, 25%)", "#008000"),
        ] {
            assert_eq!(Colour::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "blau", "#12", "red;}body{display:none", "transparent", "#ff000080"] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn words_can_be_read_on_every_colour() {
        // 4.5 is what WCAG asks for; with the better of white and nearly black it is reached everywhere.
        for red in (0..=255).step_by(15) {
            for green in (0..=255).step_by(15) {
                for blue in (0..=255).step_by(15) {
                    let colour = Colour([red, green, blue]);
                    let contrast = colour.contrast(colour.text_on_it());
                    assert!(contrast >= 4.3, "{colour}: {contrast}");
                }
            }
        }
        assert_eq!(Colour::parse("yellow").unwrap().text_on_it(), BLACK);
        assert_eq!(Colour::parse("navy").unwrap().text_on_it(), WHITE);
    }
}
