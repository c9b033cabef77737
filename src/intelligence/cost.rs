//! What a completion costs, and what it can cost at most. Whole micro-dollars, never a float.

use super::{completion::Usage, prompt::Prompt, tools};
use crate::domain::{money::MicroUsd, resource::Prices};

/// Prices are for so many tokens.
const TOKENS_PER_PRICE: u128 = 1_000_000;

/// What a model's template puts around one message: its role, and where it begins and ends.
const TOKENS_PER_TURN: u64 = 16;

/// What a model's template says for itself: a date, a default instruction, how tools are called,
/// and what we say for a silent person. The longest known is about 300.
const TOKENS_OF_TEMPLATE: u64 = 512;

/// What a call can cost at most, whatever the model's way to cut a text into tokens: a token is one
/// byte of UTF-8 at the least. The reasoning is inside the greatest length of the answer.
pub fn greatest_cost(prompt: &Prompt, prices: &Prices) -> MicroUsd {
    let Prices { input, cached_input, output } = *prices;
    let input = input.max(cached_input);
    total(&[(greatest_input(prompt), input), (u64::from(prompt.max_output_tokens), output)])
}

/// What a call cost, rounded up.
pub fn cost(usage: &Usage, prices: &Prices) -> MicroUsd {
    let Prices { input, cached_input, output } = *prices;
    let cached = usage.cached_input_tokens.min(usage.input_tokens);
    total(&[
        (usage.input_tokens - cached, input),
        (cached, cached_input),
        (usage.output_tokens, output),
    ])
}

/// The most tokens that a prompt can be.
pub(super) fn greatest_input(prompt: &Prompt) -> u64 {
    let bytes = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
    let system = TOKENS_OF_TEMPLATE
        .saturating_add(TOKENS_PER_TURN)
        .saturating_add(bytes(&prompt.system))
        .saturating_add(if prompt.tools { bytes(tools::definitions_json()) } else { 0 });
    prompt.turns.iter().fold(system, |sum, turn| {
        sum.saturating_add(TOKENS_PER_TURN).saturating_add(bytes(turn.text()))
    })
}

fn total(parts: &[(u64, MicroUsd)]) -> MicroUsd {
    let sum = parts.iter().fold(0_u128, |sum, (tokens, price)| {
        let price = u128::try_from(price.micros()).unwrap_or(0);
        sum.saturating_add(u128::from(*tokens) * price)
    });
    MicroUsd::from_micros(i64::try_from(sum.div_ceil(TOKENS_PER_PRICE)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::intelligence::prompt::Turn;

    fn prices(input: i64, cached_input: i64, output: i64) -> Prices {
        let [input, cached_input, output] =
            [input, cached_input, output].map(MicroUsd::from_micros);
        Prices { input, cached_input, output }
    }

    fn usage(input: u64, cached: u64, output: u64) -> Usage {
        Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            output_tokens: output,
            ..Usage::default()
        }
    }

    #[test]
    fn a_cost_is_exact_and_rounded_up() {
        let usual = prices(2_500_000, 1_250_000, 10_000_000);
        for (usage, prices, micros) in [
            (usage(0, 0, 0), usual, 0),
            (usage(1_000_000, 0, 0), usual, 2_500_000),
            (usage(1_000, 0, 100), usual, 3_500),
            (usage(1_000, 600, 100), usual, 2_750),
            // 2.5 micro-dollars.
            (usage(1, 0, 0), usual, 3),
            // The sum is rounded, not its parts: 1.25 + 2.5 = 3.75.
            (usage(2, 1, 0), usual, 4),
            (usage(2, 2, 0), usual, 3),
            // More cached than there is.
            (usage(1_000, 5_000, 0), usual, 1_250),
            (usage(1, 0, 0), prices(1, 0, 0), 1),
            (usage(u64::MAX, 0, 0), prices(0, 0, 0), 0),
            (usage(u64::MAX, 0, u64::MAX), prices(i64::MAX, 0, i64::MAX), i64::MAX),
            (usage(7, 0, 7), prices(-5, -5, -5), 0),
        ] {
            assert_eq!(cost(&usage, &prices).micros(), micros, "{usage:?} {prices:?}");
        }
    }

    #[test]
    fn tools_and_every_turn_are_in_the_greatest_cost() {
        let prices = prices(1_000_000, 0, 0);
        let prompt = |turns: &[&str], tools| Prompt {
            system: "ы".to_owned(),
            turns: turns.iter().map(|text| Turn::Person((*text).to_owned())).collect(),
            tools,
            max_output_tokens: 0,
        };
        let bound = |turns: &[&str], tools| greatest_cost(&prompt(turns, tools), &prices).micros();
        assert_eq!(bound(&[], false), 512 + 16 + 2);
        assert_eq!(bound(&["a", "яя"], false), 512 + 16 + 2 + 16 + 1 + 16 + 4);
        let tools = i64::try_from(tools::definitions_json().len()).unwrap();
        assert_eq!(bound(&[], true) - bound(&[], false), tools);
    }

    proptest! {
        #[test]
        fn no_usage_within_the_bounds_costs_more_than_the_greatest_cost(
            system in ".{0,40}",
            texts in prop::collection::vec(".{0,40}", 0..5),
            tools: bool,
            max_output_tokens in 0..5_000_u32,
            share in 0..=100_u64, cached in 0..=200_u64, output in 0..=100_u64,
            prices in [0..i64::MAX, 0..50_000_000_i64, 0..50_000_000_i64],
        ) {
            let [input, cached_input, output_price] = prices;
            let prices = super::tests::prices(input, cached_input, output_price);
            let turns = texts.into_iter().map(Turn::Person).collect();
            let prompt = Prompt { system, turns, tools, max_output_tokens };
            let input = greatest_input(&prompt) * share / 100;
            let used = usage(
                input, input * cached / 100, u64::from(max_output_tokens) * output / 100,
            );
            prop_assert!(cost(&used, &prices) <= greatest_cost(&prompt, &prices));
        }
    }
}
