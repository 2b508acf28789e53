//! Makes messages, good ones and ones with something odd, the same at every run.

/// Random numbers that are the same at every run (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    pub fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// When the messages are checked: 2023-11-14T22:13:20Z.
pub const NOW: i64 = 1_700_000_000;

/// A good message of each format: its name, its header line and one record.
pub const GOOD: [(&str, &str, &str); 9] = [
    (
        "job",
        "APEL-individual-job-message: v0.3",
        "Site: UKI-TEST\nSubmitHost: ce.example.org:8443/slurm\nMachineName: ce\nQueue: long\nLocalJobId: 12345\n\
         LocalUserId: atlas001\nGlobalUserName: /DC=org/CN=A User\nFQAN: /atlas/foo/Role=production\nVO: atlas\n\
         VOGroup: /atlas\nVORole: Role=production\nWallDuration: 3600\nCpuDuration: 3500\nProcessors: 8\nNodeCount: 1\n\
         StartTime: 1699990000\nEndTime: 1699993600\nInfrastructureDescription: APEL-CREAM-SLURM\n\
         InfrastructureType: grid\nMemoryReal: 1000\nMemoryVirtual: 2000\nServiceLevelType: hepscore23\n\
         ServiceLevel: 12.5\n",
    ),
    (
        "job04",
        "APEL-individual-job-message: v0.4",
        "Site: UKI-TEST\nSubmitHost: ce.example.org\nLocalJobId: 12345\nWallDuration: 3600\nCpuDuration: 3500\n\
         Processors: 8\nStartTime: 2023-11-14T12:00:00Z\nEndTime: 1699993600\n\
         ServiceLevel: {HEPscore23: 12.5, hepspec: 11}\nMemoryReal: 1000\n",
    ),
    (
        "summary",
        "APEL-summary-job-message: v0.2",
        "Site: UKI-TEST\nMonth: 10\nYear: 2023\nGlobalUserName: /DC=org/CN=A User\nVO: atlas\nVOGroup: /atlas\n\
         VORole: Role=production\nSubmitHost: ce\nInfrastructureType: grid\nInfrastructureDescription: APEL-ARC-PBS\n\
         ServiceLevelType: hepspec\nServiceLevel: 11.0\nNodeCount: 1\nProcessors: 8\nEarliestEndTime: 1696118400\n\
         LatestEndTime: 1698796800\nWallDuration: 234256\nCpuDuration: 2345\nNumberOfJobs: 100\n",
    ),
    (
        "summary04",
        "APEL-summary-job-message: v0.4",
        "Site: UKI-TEST\nMonth: 10\nYear: 2023\nServiceLevel: {hepspec: 11.0}\nNodeCount: 1\nProcessors: 8\n\
         EarliestEndTime: 1696118401\nLatestEndTime: 1698796799\nWallDuration: 234256\nCpuDuration: 2345\n\
         NumberOfJobs: 100\n",
    ),
    (
        "normalised",
        "APEL-summary-job-message: v0.3",
        "Site: UKI-TEST\nMonth: 12\nYear: 2022\nInfrastructure: grid\nNodeCount: 1\nProcessors: 8\n\
         EarliestEndTime: 1671000000\nLatestEndTime: 1672531200\nWallDuration: 234256\nCpuDuration: 2345\n\
         NormalisedWallDuration: 234256\nNormalisedCpuDuration: 2345\nNumberOfJobs: 100\n",
    ),
    (
        "normalised04",
        "APEL-normalised-summary-message: v0.4",
        "Site: UKI-TEST\nMonth: 02\nYear: 2023\nInfrastructure: grid\nNodeCount: 1\nEarliestEndTime: 1675209600\n\
         LatestEndTime: 1677628799\nWallDuration: 234256\nCpuDuration: 2345\n\
         NormalisedWallDuration: {hepspec: 519728, HEPscore23: 708720}\n\
         NormalisedCpuDuration: {HEPscore23: 703065.9, hepspec: 515581}\nNumberOfJobs: 100\n",
    ),
    ("sync", "APEL-sync-message: v0.1", "Site: UKI-TEST\nSubmitHost: ce\nNumberOfJobs: 100\nMonth: 3\nYear: 2023\n"),
    (
        "cloud",
        "APEL-cloud-message: v0.4",
        "RecordCreateTime: 1699990000\nVMUUID: 2023-11-14 vm-1\nSiteName: CESNET\nCloudComputeService: ccs\n\
         MachineName: 'vm é'\nLocalUserId: 19\nLocalGroupId: 101\nGlobalUserName: a:b\nFQAN: /ops/Role=NULL\n\
         Status: completed\nStartTime: 1699980000\nEndTime: 0\nSuspendDuration: 0\nWallDuration: 10000\n\
         CpuDuration: None\nCpuCount: 1.5\nNetworkType: None\nNetworkInbound: 0\nNetworkOutbound: 0\n\
         PublicIPCount: 1\nMemory: 512\nDisk: 10\nBenchmarkType: hepspec\nBenchmark: 12.5\nStorageRecordId: None\n\
         ImageId: 5\nCloudType: OpenStack\n",
    ),
    (
        "cloud-summary",
        "APEL-cloud-summary-message: v0.4",
        "SiteName: CESNET\nCloudComputeService: ccs\nMonth: 10\nYear: 2023\nGlobalUserName: u\nVO: ops\n\
         VOGroup: /ops\nVORole: x\nStatus: completed\nCloudType: OpenStack\nImageId: 5\nEarliestStartTime: 1696118400\n\
         LatestStartTime: 1696118500\nWallDuration: 1\nCpuDuration: 1\nCpuCount: 4\nNetworkInbound: 1\n\
         NetworkOutbound: 2\nMemory: 3\nDisk: 4\nBenchmarkType: x\nBenchmark: 1.5\nNumberOfVMs: 1\n",
    ),
];

/// Values that a reader in another language is likely to read differently.
pub const VALUES: &[&str] = &[
    "",
    "None",
    "nULL",
    "NONE",
    "nil",
    "0",
    "1",
    "-1",
    "+5",
    "007",
    "12",
    "13",
    "02",
    "2023",
    "2024",
    "9999",
    "10000",
    "1_000",
    "1__0",
    "_1",
    "1_",
    "1.0",
    "10.7",
    "5.",
    ".5",
    "1e3",
    "1_0e1_0",
    "nan",
    "-nan",
    "inf",
    "-Infinity",
    "1e400",
    "0x10",
    "１２",
    "١٢",
    "1２",
    "𝟗",
    "²",
    "½",
    "1 2",
    "- 1",
    "--1",
    "1\u{0}",
    "\u{200b}1",
    "\u{feff}1",
    "1\u{1f}",
    "\u{a0}7\u{3000}",
    "99999999999",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "1699999999",
    "1700172800",
    "1700172801",
    "-62135596800",
    "-62135596801",
    "253402300799",
    "253402300800",
    "1000000000000000000",
    "10000000000000000000",
    "2023-11-14T12:00:00Z",
    "2023-11-14T12:00:00",
    "2023-11-14t12:00:00utc",
    "2023-11-14T12:00:00GMT",
    "2023-11-14T12:00:00+00:00",
    "2023-2-3T1:2:3Z",
    "2023-02- 3T1:2:3Z",
    "2023-02-30T00:00:00Z",
    "2023-02-28T23:59:61Z",
    "2023-02-28T23:59:62Z",
    "2023-11-14 12:00:00",
    "2023-11-14T24:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "２023-11-14T12:00:0٣Z",
    "{hepspec: 11}",
    "{HEPscore23: 12.5}",
    "hepspec:11",
    "{hepspec : 1_0 , si2k:2}",
    "{}",
    "{hepspec: 1, hepspec: 2}",
    "{hepspec: 1, HEPSPEC: 2}",
    "{hepspec: nan}",
    "{hepspec: inf}",
    "{hepspec: 1e400}",
    "{hepspec: -0.9}",
    "{hepspec: -1}",
    "{hepspec: 1e30}",
    "{hepspec: 1,}",
    "{hepspec: 1: 2}",
    "{other: 1}",
    "{si2\u{212a}: 5}",
    "{{hepspec: 1}",
    "{hepspec: 1} ",
    "{hepspec: '1'}",
    "hepspec",
    "HEPscore23",
    "Si2k",
    "si2\u{212a}",
    "custom",
    "grid",
    "a:b: c",
    "50% of 3%",
    "a%%b",
    "%",
    "Ünïcode €",
    "/atlas/x/Role=y;/other",
    "atlas",
];

/// White space and separators of lines, and what looks like them.
pub const SPACES: &[&str] = &[
    "", " ", "\t", "\r", "\n", "\r\n", "\u{b}", "\u{c}", "\u{1c}", "\u{1d}", "\u{1e}", "\u{1f}", "\u{85}", "\u{a0}",
    "\u{1680}", "\u{2003}", "\u{200b}", "\u{2028}", "\u{2029}", "\u{202f}", "\u{3000}", "\u{feff}", "\0", "  \n ",
];

const HEADERS: &[&str] = &[
    "",
    "Site: x",
    "APEL-individual-job-message",
    "APEL-individual-job-message:",
    "APEL-individual-job-message: v0.4",
    "APEL-individual-job-message :v0.4:",
    "APEL-individual-job-message:\tv0.4",
    "APEL-individual-job-message: v0.4\t",
    "APEL-individual-job-message: v0.3\u{a0}\u{1f}",
    "APEL-normalised-summary-message: v0.4\t",
    "APEL-summary-job-message: v0.4\u{3000}",
    "APEL-cloud-message: v0.4 \t",
    "APEL-individual-job-message: v0.3 extra",
    "APEL-summary-job-message:v0.2",
    "APEL-summary-job-message: v0.2 ",
    "APEL-summary-job-message: v0.2",
    "APEL-summary-job-message: v0.3",
    "APEL-summary-job-message: v0.4",
    "APEL-normalised-summary-message: v0.3",
    "APEL-normalised-summary-message: v0.4",
    "APEL-sync-message: v9",
    "APEL-sync-message:v0.1",
    "APEL-cloud-message",
    "APEL-cloud-message: v0.2",
    "APEL-cloud-summary-message:",
    "apel-sync-message: v0.1",
    "\u{feff}APEL-sync-message: v0.1",
    "<APEL-sync-message: v0.1",
    "{\"Type\": 1}",
    "::",
];

const FIELDS: &[&str] = &[
    "Site",
    "site",
    "SiteName",
    "UpdateTime",
    "SubmitHostType",
    "ServiceLevelType",
    "ServiceLevel",
    "Month",
    "Year",
    "MeasurementTime",
    "Infrastructure",
    "InfrastructureType",
    "VO",
    "VOGroup",
    "NumberOfJobs",
    "NumberOfVMs",
    "Unknown",
    "",
    "EarliestEndTime",
    "LatestEndTime",
    "StartTime",
    "EndTime",
    "WallDuration",
    "NormalisedWallDuration",
    "Benchmark",
];

/// A message while it is changed.
struct Draft {
    header: String,
    records: Vec<Vec<(String, String)>>,
    line_end: &'static str,
    separator: &'static str,
    last_separator: bool,
}

/// The message number `seed` of a format: good for every sixteenth, else with one to three things changed.
pub fn message(format: usize, seed: u64) -> Vec<u8> {
    let (_, header, record) = GOOD[format];
    let mut dice = Dice::new(seed * 31 + format as u64);
    let lines = record.lines().map(|line| line.split_once(": ").expect("Key: value"));
    let record: Vec<_> = lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut draft = Draft {
        header: header.to_owned(),
        records: vec![record; 1 + dice.below(3)],
        line_end: "\n",
        separator: "%%\n",
        last_separator: dice.below(2) == 0,
    };
    if seed.is_multiple_of(16) {
        return render(&draft).into_bytes();
    }
    for _ in 0..=dice.below(3) {
        change(&mut draft, &mut dice);
    }
    let mut bytes = render(&draft).into_bytes();
    if dice.below(12) == 0 {
        scratch(&mut bytes, &mut dice);
    }
    bytes
}

fn change(draft: &mut Draft, dice: &mut Dice) {
    let at = dice.below(draft.records.len());
    let record = &mut draft.records[at];
    let field = dice.below(record.len().max(1));
    if record.is_empty() {
        return;
    }
    match dice.below(17) {
        0 => drop(record.remove(field)),
        16 => without_level(record, dice),
        1 => record.insert(dice.below(record.len() + 1), record[field].clone()),
        2..=6 => record[field].1 = dice.one_of(VALUES).to_owned(),
        7 => {
            let extra = (dice.one_of(FIELDS).to_owned(), dice.one_of(VALUES).to_owned());
            record.insert(dice.below(record.len() + 1), extra);
        }
        8 => record[field].1 += dice.one_of(SPACES),
        9 => record[field].0 += dice.one_of(SPACES),
        10 => record[field].1.insert_str(0, dice.one_of(SPACES)),
        11 => draft.header = dice.one_of(HEADERS).to_owned(),
        12 => draft.separator = dice.one_of(&["%%", "%%%\n", "%%%%\n", " %% \n", "%\n%\n", "\n%%\n\n%%\n"]),
        13 => draft.line_end = dice.one_of(SPACES),
        14 => record.reverse(),
        _ => extremes(record, field, dice),
    }
}

/// Takes the service level away, or the value of it.
fn without_level(record: &mut Vec<(String, String)>, dice: &mut Dice) {
    let null = dice.one_of(&["", "None", "null", "-"]);
    if null == "-" {
        record.retain(|(key, _)| !key.starts_with("ServiceLevel"));
    }
    for (_, value) in record.iter_mut().filter(|(key, _)| key.starts_with("ServiceLevel")) {
        null.clone_into(value);
    }
}

/// Very long numbers, and two fields that are set against each other.
fn extremes(record: &mut [(String, String)], field: usize, dice: &mut Dice) {
    match dice.below(4) {
        0 => record[field].1 = "9".repeat(4300 + dice.below(2)),
        1 => record[field].1 = format!("{}5", "0".repeat(4299 + dice.below(2))),
        _ => {
            let other = dice.below(record.len());
            let value = record[other].1.clone();
            record[field].1 = value;
        }
    }
}

fn render(draft: &Draft) -> String {
    let mut text = format!("{}{}", draft.header, draft.line_end);
    for (at, record) in draft.records.iter().enumerate() {
        if at > 0 {
            text += draft.separator;
        }
        for (key, value) in record {
            text += &format!("{key}: {value}{}", draft.line_end);
        }
    }
    if draft.last_separator {
        text += draft.separator;
    }
    text
}

/// Changes, adds or takes away a few bytes, so that not even the encoding is sure.
fn scratch(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(2) {
        let at = dice.below(bytes.len().max(1));
        let byte = [b'%', b':', b'\n', b' ', 0x85, 0xff, 0xe2, b'0', b'_'][dice.below(9)];
        match dice.below(3) {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.insert(at.min(bytes.len()), byte),
        }
    }
}
