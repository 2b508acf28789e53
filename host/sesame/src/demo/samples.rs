//! The messages of the demo: invented sites, real formats.

/// One message of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its file name, which is part of its message id.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its content.
    pub content: &'static str,
}

/// The messages in the order in which they are queued. The blank one is bad: a sender refuses it.
pub const SAMPLES: &[Sample] = &[
    Sample { name: "cpu-jobs.txt", about: "individual CPU jobs, v0.3", content: include_str!("samples/cpu-jobs.txt") },
    Sample { name: "cpu-summary.txt", about: "CPU summary, v0.4", content: include_str!("samples/cpu-summary.txt") },
    Sample { name: "storage.xml", about: "storage usage, StAR XML", content: include_str!("samples/storage.xml") },
    Sample { name: "cloud.txt", about: "cloud usage, v0.4", content: include_str!("samples/cloud.txt") },
    Sample {
        name: "accelerator.json",
        about: "accelerator usage, JSON",
        content: include_str!("samples/accelerator.json"),
    },
    Sample {
        name: "blank.txt",
        about: "a blank file, a mistake of the site",
        content: include_str!("samples/bad-blank.txt"),
    },
];
