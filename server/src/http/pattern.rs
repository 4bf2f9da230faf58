//! The patterns of paths, such as `/api/v1/holds/{id}`: a part in braces stands for one segment.

/// The segment, as sent, that a path which matches has in the place of a path parameter.
pub fn segment<'a>(pattern: &str, path: &'a str, name: &str) -> Option<&'a str> {
    let mut segments = pattern.split('/').zip(path.split('/'));
    segments.find(|(pattern, _)| parameter_name(pattern) == Some(name)).map(|(_, segment)| segment)
}

/// The name of the path parameter that a segment of a pattern is.
pub fn parameter_name(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}
