/// The fields of a cron expression, how many values each has, and what a longer step comes to.
const FIELDS: [(u64, &str); 5] = [
    (60, "the step of its minutes is longer than an hour: it would be due once an hour"),
    (24, "the step of its hours is longer than a day: it would be due once a day"),
    (31, "the step of its days is longer than a month: it would be due once a month"),
    (12, "the step of its months is longer than a year: it would be due once a year"),
    (7, "the step of its days of the week is longer than a week: it would be due once a week"),
];

/// Why a cron expression of five fields does not mean what it says: `*/90 * * * *` is not every 90 minutes, for a step
/// begins again with each hour. Invalid expressions are left to the parser.
pub fn cron_step_fault(expression: &str) -> Option<&'static str> {
    let mut fields = expression.split_whitespace().zip(FIELDS);
    let is_over = |part: &str, values: u64| {
        let step = part.split_once('/').map(|(_, step)| step);
        // Digits that do not fit are more than any field has.
        step.is_some_and(|step| match step.parse::<u64>() {
            Ok(step) => step > values,
            Err(_) => !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()),
        })
    };
    fields
        .find(|(field, (values, _))| field.split(',').any(|part| is_over(part, *values)))
        .map(|(_, (_, fault))| fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_longer_than_its_field_is_a_fault_of_that_field() {
        for (expression, field) in [
            ("*/61 * * * *", "minutes"),
            ("0,5-10/90 * * * *", "minutes"),
            ("*/99999999999999999999 * * * *", "minutes"),
            ("0 */25 * * *", "hours"),
            ("0 0 */32 * *", "days is"),
            ("0 0 1 */13 *", "months"),
            ("0 0 * * MON-FRI/8", "week"),
        ] {
            let fault = cron_step_fault(expression).unwrap_or_default();
            assert!(fault.contains(field), "{expression}: {fault:?}");
        }
    }

    #[test]
    fn every_other_step_means_what_it_says() {
        for expression in [
            "* * * * *",
            "*/60 */24 */31 */12 */7",
            "0-30/10,45 0 1 1 0",
            "@daily",
            "",
            "*/x * * * *",
            "*/ * * * *",
        ] {
            assert_eq!(cron_step_fault(expression), None, "{expression}");
        }
    }
}
