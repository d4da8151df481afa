use proptest::prelude::*;

use super::*;

#[track_caller]
fn equal(pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        assert!(same(a, b) && same(b, a), "{a} should be {b}: {:?}", parse::parse(b, CommaMeaning::Thousands));
        assert!(is_reference(a, b), "{b} should be the reference {a}");
    }
}

#[track_caller]
fn different(pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        assert!(!same(a, b) && !same(b, a), "{a} should not be {b}");
    }
}

#[test]
fn numbers_are_the_same_however_they_are_written() {
    equal(&[
        (r"\frac{14}{3}", r"\dfrac{28}{6}"),
        (r"\frac43", "4/3"),
        (r"\frac 59", r"\tfrac{5}{9}"),
        (r"\frac9{19}", r"\frac{9}{19}"),
        (r"-\frac{3}{8}", r"\frac{-3}{8}"),
        (r"1\frac{1}{2}", r"\frac32"),
        ("1 1/2", "1.5"),
        (r"\$32,\!348", "32348"),
        ("10{,}000", "10,000"),
        ("1,234,567", "1234567"),
        (".35625", "0.35625"),
        ("4.50", "4.5"),
        ("1/3", "0.333333"),
        (r"3.2 \times 10^5", "320000"),
        (r"0.1\overline{6}", r"\frac16"),
        (r"2\cdot 3^2", "18"),
        ("5!", "120"),
        (r"\binom{5}{2}", "10"),
        (r"2^{1000}", r"4^{500}"),
        (r"\lfloor 3.7 \rfloor", "3"),
        (r"|{-3}|", "3"),
    ]);
    different(&[
        (r"\frac{14}{3}", "4.6667"),
        ("5", "-5"),
        ("0.35", "0.36"),
        ("1234567890", "1234567891"),
        (r"2^{1000}", r"2^{1000}+1"),
        (r"\frac{1}{23}", r"\frac{12}{3}"),
        ("5", "five"),
        ("", "5"),
    ]);
}

#[test]
fn units_and_marks_of_money_and_angles_do_not_count() {
    equal(&[
        (r"5.4 \text{ cents}", "5.4"),
        (r"36\text{ cm}^2", "36"),
        ("12 inches", "12"),
        ("12 square units", "12"),
        (r"90^\circ", "90"),
        (r"90^{\circ}", r"90\text{ degrees}"),
        (r"\$18.90", "18.9"),
        (r"10\%", "10"),
        (r"10\%", "0.1"),
        (r"50 \text{ percent}", r"50\%"),
        ("$42$", r"\(42\)"),
    ]);
    different(&[(r"90^\circ", r"\frac{\pi}{2}"), (r"10\%", "1"), (r"10\%", r"20\%")]);
}

#[test]
fn expressions_are_the_same_if_their_values_are() {
    equal(&[
        ("2x+1", "1+2x"),
        (r"\frac{\sqrt{3}}{2}", r"0.5\sqrt3"),
        (r"70 \sqrt{2}", r"\sqrt{9800}"),
        ("x^5 - x^4 + x^3 - x^2 + x - 1", "(x-1)(x^4+x^2+1)"),
        (r"2k+2", r"2(k+1)"),
        (r"\cot x", r"\frac{\cos x}{\sin x}"),
        (r"\sin 30^\circ", r"\frac12"),
        (r"\cos\frac{\pi}{3}", "0.5"),
        (r"\sin^2 x + \cos^2 x", "1"),
        (r"\tan^{-1}(1)", r"\frac{\pi}{4}"),
        (r"\log_2 8", "3"),
        (r"\ln e^2", "2"),
        ("6+9i", "9i + 6"),
        ("i^2", "-1"),
        (r"e^{i\pi}", "-1"),
        (r"\sqrt[3]{-8}", "-2"),
        (r"\frac{20000}{\pi}", r"\frac{20000}{\pi} \approx 6366.2"),
        (r"\binom{2n}{n}", r"\frac{(2n)!}{(n!)^2}"),
        (r"\frac{1}{2x}", "1/2x"),
        ("7π", r"7\pi"),
        ("3√2", r"3\sqrt{2}"),
        (r"x_1 + x_{2}", "x_2+x_1"),
    ]);
    different(&[
        ("2x+1", "2x-1"),
        ("x", "y"),
        (r"\sqrt{x^2}", "x"),
        (r"\sqrt{2}", "1.414"),
        ("(x+1)^2", "x^2+1"),
        ("x_1", "x_2"),
        ("6+9i", "6-9i"),
        (r"\cot x", r"\tan x"),
    ]);
}

#[test]
fn an_equation_says_what_its_right_side_says() {
    equal(&[
        ("5", "x = 5"),
        ("x=5", "5"),
        ("5", "x = 2 + 3 = 5"),
        ("y=2x+3", "2x+3"),
        ("f(x)=x+1", "x+1"),
        ("f^{-1}(x)=x-1", "x-1"),
        (r"\text{Area} = 12", "12"),
        ("x=5", "2x=10"),
        ("x^2+2x=3", "2x^2+4x-6=0"),
        ("M=\\frac{9}{32} \\sqrt{2}", r"\frac{9\sqrt{2}}{32}"),
        (r"x \approx 3.14", "3.14"),
    ]);
    different(&[("x=5", "y=5"), ("x^2+y^2=1", "x^2+y^2=2"), ("7", "x=3, y=7"), ("x+y=1", "x+y=2")]);
    assert!(is_reference("5", "x + y = 5") && !is_reference("x+y=5", "5"));
    assert!(is_reference("144", r"\begin{vmatrix} a & b \\ c & d \end{vmatrix}^2 = 12^2 = 144"));
}

#[test]
fn order_counts_in_points_and_not_in_sets() {
    equal(&[
        ("1,-2", "-2, 1"),
        (r"\{1,2\}", "2,1"),
        (r"3, 5, 7", r"7, 3 \text{ and } 5"),
        ("5 or 6", "6, 5"),
        (r"x = 5 \text{ or } x = 6", "6, 5"),
        (r"\pm 2", "2, -2"),
        (r"\{1\pm\sqrt{5},-2\}", r"-2, 1-\sqrt5, 1+\sqrt5"),
        (r"1 \pm 2", r"1 \mp 2"),
        ("(-2,1)", r"\left( -2, 1 \right)"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)"),
        ("(6,3),(9,3)", "(9,3),(6,3)"),
        ("a=2, a=-6-4\\sqrt{2}", "-6-4\\sqrt2, 2"),
        ("100,200", "200, 100"),
        (r"\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}", r"\begin{bmatrix}-1&0\\0&-1\end{bmatrix}"),
        (r"\frac{1}{2}\begin{pmatrix} 2 \\ 4 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"\langle 1, 2 \rangle", "(1,2)"),
        ("(4,3)", "4, 3"),
        ("(4,3)", r"x = 4 \text{ and } y = 3"),
        ("(x,y) = (4,3)", "(4,3)"),
        (r"\emptyset", r"\{\}"),
    ]);
    different(&[
        ("(1,-2)", "(-2,1)"),
        ("(1,2)", "2,1"),
        ("1,2,3", "1,2"),
        (r"\{1,2\}", r"\{1,3\}"),
        ("(1,2)", "(1,2,3)"),
        (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 2 & 1 \end{pmatrix}"),
        (r"\pm 2", "2"),
    ]);
    assert!(is_reference("1, 2", "(2, 1)") && !is_reference("(1, 2)", "2, 1"));
}

#[test]
fn intervals_are_known_from_inequalities() {
    equal(&[
        (r"x \in [-2,7]", "[-2,7]"),
        (r"[-2,7]", r"-2 \le x \le 7"),
        (r"(2,\infty)", "x > 2"),
        (r"(-\infty, 2) \cup (3, \infty)", r"x < 2 \text{ or } x > 3"),
        (r"(0,9) \cup (9,36)", r"(9,36)\cup(0,9)"),
        (r"(0,9) \cup (9,36)", "(0,9) U (9,36)"),
        (r"(-\infty,3)\cup(3,\infty)", r"x \ne 3"),
        ("x>2", "2<x"),
        (r"\mathbb{R}", r"(-\infty,\infty)"),
        ("a+b>2", "2<a+b"),
    ]);
    different(&[("(1,2)", "[1,2]"), ("[1,2)", "[1,2]"), ("x>2", r"x \ge 2"), ("x>2", "x<2"), ("a+b>2", "a+b<2")]);
}

#[test]
fn words_are_answers_too() {
    equal(&[
        (r"\text{Evelyn}", "evelyn"),
        (r"\text{(E)}", "E"),
        (r"\text{odd function}", r"\text{Odd Function}"),
        ("4343_6", "4343_{6}"),
        ("4343_6", "4343"),
    ]);
    different(&[(r"\text{Evelyn}", "Angela"), (r"\text{(E)}", "D"), ("4343_6", "4343_5"), ("4343_6", "999")]);
}

#[test]
fn hostile_answers_end_soon() {
    let started = std::time::Instant::now();
    let towers =
        [r"10^{10^{10}}", r"9^{9^{9^{9}}}", r"(10^{10})!!!", r"\binom{10^{9}}{10^{8}}", r"2^{99999999999999999999}"];
    for tower in towers {
        let _ = (same(tower, "1"), same(tower, &format!("{tower}+1")));
        assert!(same(tower, tower));
    }
    for nest in ["(", "{", "\\frac{", "\\sqrt{", "-", "|", "\\text{", "x^", "[", "\\{", "\\begin{pmatrix}", "\\sin"] {
        let long = nest.repeat(600);
        let _ = (same(&long, "1"), same(&nest.repeat(100_000), "1"), same(&format!("{long}1"), &format!("{long}2")));
    }
    let many = vec!["x+1"; 490].join(",");
    let _ = same(&many, &format!("{many},2"));
    let pm = r"\pm 1".repeat(300);
    let _ = same(&pm, "1");
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

const ANSWERS: [&str; 24] = [
    r"\left( 3, \frac{\pi}{2} \right)",
    r"\frac{14}{3}",
    r"\text{Evelyn}",
    "6+9i",
    "1,-2",
    r"70 \sqrt{2}",
    "x^5 - x^4 + x^3 - x^2 + x - 1",
    r"\cot x",
    r"30^\circ",
    r"\$32,\!348",
    r"\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}",
    "4343_6",
    r"(0,9) \cup (9,36)",
    r"\{1\pm\sqrt{5},-2\}",
    ".35625",
    r"(-\infty, 2) \cup (3, \infty)",
    r"\binom{2n}{n}",
    r"f(x)=\frac{1}{x}",
    r"(10^{4}, 10^{3}, 10^{10}),(10^{2}, 10^{-1}, 10^{-2})",
    r"x \in [-2,7]",
    r"10\%",
    r"-2 \le x \le 7",
    r"\log_2 (x+1)",
    r"\lfloor x \rfloor + |y|",
];

proptest! {
    #[test]
    fn any_two_texts_are_compared_without_a_panic_and_either_way(a in "\\PC{0,60}", b in "\\PC{0,60}") {
        prop_assert_eq!(same(&a, &b), same(&b, &a));
        prop_assert!(a.trim().is_empty() || same(&a, &a));
    }

    #[test]
    fn mutated_answers_are_compared_without_a_panic_and_either_way(
        which in 0..ANSWERS.len(), other in 0..ANSWERS.len(),
        at in 0usize..60, cut in 0usize..4, put in "[-+0-9a-z{}()\\[\\]|^_\\\\,.=<> %!]{0,4}",
    ) {
        let mut mutated: Vec<char> = ANSWERS[which].chars().collect();
        let at = at.min(mutated.len());
        let end = (at + cut).min(mutated.len());
        mutated.splice(at..end, put.chars());
        let mutated: String = mutated.into_iter().collect();
        let other = ANSWERS[other];
        prop_assert_eq!(same(&mutated, other), same(other, &mutated));
        prop_assert!(mutated.trim().is_empty() || same(&mutated, &mutated));
    }

    #[test]
    fn a_fraction_stays_what_it_is_when_scaled(a in -500i32..500, b in 1i32..500, c in 1i32..60) {
        let fraction = format!(r"\frac{{{a}}}{{{b}}}");
        let (above, below) = (a * c, b * c);
        let scaled = format!(r"\dfrac{{{above}}}{{{below}}}");
        let slashed = format!("{above}/{below}");
        let more = format!(r"\frac{{{}}}{{{b}}}", a + 1);
        prop_assert!(same(&fraction, &scaled) && same(&fraction, &slashed));
        prop_assert!(!same(&fraction, &more));
    }

    #[test]
    fn a_factored_polynomial_is_its_expansion(a in -30i32..30, b in -30i32..30, c in 1i32..9) {
        let factored = format!("{c}(x-({a}))(x-({b}))");
        let expanded = format!("{c}x^2 + ({})x + ({})", -c * (a + b), c * a * b);
        let more = format!("{expanded}+1");
        prop_assert!(same(&factored, &expanded));
        prop_assert!(!same(&factored, &more));
    }

    #[test]
    fn the_order_of_a_set_does_not_count(numbers in proptest::collection::vec(-99i32..99, 1..8)) {
        let list = |numbers: &[i32]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let turned: Vec<i32> = numbers.iter().rev().copied().collect();
        let set = format!(r"\{{{}\}}", list(&turned));
        let more = format!("{}, 100", list(&numbers));
        prop_assert!(same(&list(&numbers), &set));
        prop_assert!(!same(&list(&numbers), &more));
    }

    #[test]
    fn separators_of_thousands_do_not_count(number in 1000u32..900_000_000) {
        let digits = number.to_string();
        let mut grouped = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at) % 3 == 0 {
                grouped.push_str(r",\!");
            }
            grouped.push(digit);
        }
        prop_assert!(same(&digits, &grouped) && same(&digits, &grouped.replace(r"\!", "")));
    }
}
