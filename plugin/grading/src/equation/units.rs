//! Units of one kind, between which numbers change: an equation that mixes them may be a conversion.

/// Families of units. `$` stands for dollars.
const FAMILIES: [&[&str]; 7] = [
    &[
        "second",
        "seconds",
        "sec",
        "secs",
        "minute",
        "minutes",
        "min",
        "mins",
        "hour",
        "hours",
        "hr",
        "hrs",
        "day",
        "days",
        "week",
        "weeks",
        "month",
        "months",
        "year",
        "years",
        "decade",
        "decades",
        "century",
        "centuries",
        "weekday",
        "weekdays",
        "weekend",
        "weekends",
        "night",
        "nights",
    ],
    &[
        "mm",
        "cm",
        "km",
        "inch",
        "inches",
        "in",
        "foot",
        "feet",
        "ft",
        "yard",
        "yards",
        "mile",
        "miles",
        "meter",
        "meters",
        "kilometer",
        "kilometers",
        "centimeter",
        "centimeters",
    ],
    &[
        "gram",
        "grams",
        "kg",
        "kilogram",
        "kilograms",
        "kilos",
        "mg",
        "ounce",
        "ounces",
        "oz",
        "pound",
        "pounds",
        "lb",
        "lbs",
        "ton",
        "tons",
    ],
    &[
        "ml",
        "liter",
        "liters",
        "cup",
        "cups",
        "pint",
        "pints",
        "quart",
        "quarts",
        "gallon",
        "gallons",
        "tablespoon",
        "tablespoons",
        "teaspoon",
        "teaspoons",
    ],
    &[
        "$", "cent", "cents", "dollar", "dollars", "penny", "pennies", "nickel", "nickels", "dime", "dimes", "quarter",
        "quarters",
    ],
    &[
        "dozen",
        "dozens",
        "pair",
        "pairs",
        "hundred",
        "hundreds",
        "thousand",
        "thousands",
        "million",
        "millions",
        "billion",
        "gross",
        "score",
    ],
    &["half", "halves", "third", "thirds", "twice", "double", "percent", "degrees"],
];

/// Whether words beside the numbers, or signs of currency in the text, are different units of one family. A word for a
/// number such as `dozen` is enough by itself.
pub fn mixed(text: &str, words: &[&[String]]) -> bool {
    let mut all: Vec<&str> = words.iter().flat_map(|side| side.iter()).map(String::as_str).collect();
    if text.contains('$') {
        all.push("$");
    }
    let singular = |word: &str| word.trim_end_matches('s').to_owned();
    FAMILIES.iter().enumerate().any(|(number, family)| {
        let mut units: Vec<String> =
            all.iter().filter(|word| family.contains(*word)).map(|word| singular(word)).collect();
        units.sort();
        units.dedup();
        // "$5 dollars" names one unit twice.
        units.retain(|unit| unit != "dollar" || !all.contains(&"$"));
        units.len() > usize::from(number < 5)
    })
}
