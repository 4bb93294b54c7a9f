//! `olean info`: what the header and the sections of a file say.

mod closure;
mod contents;

use crate::addresses::{self, Mapping, taken};
use crate::dependencies::Dependencies;
use crate::error::{Failure, Result};
use crate::input::{self, Input, Source};
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::render::{BAD, GOOD, TITLE, bytes, clean, count, cut, plural};
use olean_reader::format::extension::{self, LibraryIdentity};
use olean_reader::{Bignums, File, Kind, Library, Width};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Show what a file is: Lean, format, base address, root, libraries of closures
///
/// Reads header and sections only; olean verify proves the objects. Whether the base address is free is tried in a
/// process that has just started: where it is taken, the loader has to relocate the file.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files or folders; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Tell what importing this module loads; it and what it imports are looked for in the folders given
    #[arg(long, value_name = "MODULE")]
    closure: Option<String>,
}

const EXAMPLES: &str = "Exit codes: 0 all shown, 1 some are no region files, 2 wrong usage or unreadable files.\n\n\
     Examples:\n  \
     olean info Foo.olean\n  \
     olean info .lake/build/lib              (what all files have in common, and which are odd)\n  \
     olean info --closure Foo.Bar .lake/build/lib ~/lean/lib\n  \
     olean info --json build | jq -r '.files[].lean_version' | sort | uniq -c";

#[derive(Serialize)]
struct Report {
    schema: u32,
    files: Vec<Info>,
    /// Of the files below folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<contents::Summary>,
}

#[derive(Serialize)]
struct Info {
    path: String,
    format: u8,
    width: u8,
    bignums: &'static str,
    lean_version: String,
    githash: String,
    base: u64,
    /// Whether a process that has just started has nothing there; absent for 32-bit files, and where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_free: Option<bool>,
    /// What lies there instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_taken_by: Option<String>,
    /// Why it is not known whether the base is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_unknown: Option<String>,
    bytes: u64,
    data_bytes: u64,
    root: Root,
    closures: u64,
    libraries: Vec<LibraryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<String>,
    /// The files that it was made with, where it remembers them.
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<Dependencies>,
    /// What the module declares and imports, where the file is a sound part of one and was named itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<contents::Contents>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
enum Root {
    Scalar {
        value: u64,
    },
    Object {
        offset: u64,
        kind: &'static str,
        tag: u8,
        fields: u8,
        scalar_bytes: u64,
    },
    Outside {
        address: u64,
    },
    Bad {
        address: u64,
    },
}

impl Root {
    /// Whether it may be the structure that is the root of a module.
    fn may_be_module(&self) -> bool {
        match self {
            Self::Object { kind, .. } => *kind == Kind::Ctor.name(),
            Self::Scalar { .. } => false,
            Self::Outside { .. } | Self::Bad { .. } => true,
        }
    }
}

#[derive(Serialize)]
struct LibraryInfo {
    id: String,
    base: u64,
    closures: u64,
    identity: Option<String>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    if let Some(module) = &args.closure {
        return closure::run(module, &args.files, out);
    }
    let sources = input::sources(&args.files)?;
    let folders: Vec<&PathBuf> = args.files.iter().filter(|f| f.is_dir()).collect();
    let below = |s: &Source| {
        let named = |p: &Path| args.files.iter().any(|f| f == p);
        let path = s.path.as_deref().filter(|p| !named(p));
        path.is_some_and(|p| folders.iter().any(|f| p.starts_with(f)))
    };
    let (mut files, mut found) = (Vec::new(), Vec::new());
    let (mut failed, mut maps) = (Failed::default(), None);
    for source in &sources {
        match look(source, &mut maps) {
            Err(failure) => failed.note(failure),
            Ok(info) if below(source) => found.push(info),
            Ok(mut info) => {
                // What has another root than a module is not proved only to say so.
                if source.path.is_some() && info.root.may_be_module() {
                    match contents::contents(source) {
                        Ok(module) => info.module = module,
                        Err(failure) => failed.note(failure),
                    }
                }
                if out.is_json() {
                    files.push(info);
                } else {
                    print(&info, out)?;
                }
            }
        }
    }
    let summary = (!found.is_empty()).then(|| contents::summary(&found.iter().map(seen).collect::<Vec<_>>()));
    if out.is_json() {
        files.extend(found);
        out.json(&Report {
            schema: 1,
            files,
            summary,
        })?;
    } else if let Some(summary) = summary {
        contents::print_summary(&summary, out)?;
    }
    Ok(failed.code())
}

/// What is added up of a file.
fn seen(i: &Info) -> contents::Seen {
    contents::Seen {
        path: i.path.clone(),
        bytes: i.bytes,
        release: match i.githash.as_str() {
            "" => i.lean_version.clone(),
            githash => format!("{} ({githash})", i.lean_version),
        },
        format: format!("{}-bit, version {}, {} bignums", i.width, i.format, i.bignums),
        taken_by: i.base_taken_by.clone(),
    }
}

/// The mappings of a fresh process, or why there are none; asked for once.
type Fresh = std::result::Result<Vec<Mapping>, String>;

fn look(source: &Source, maps: &mut Option<Fresh>) -> Result<Info> {
    let input = Input::open(source)?;
    let file = File::parse(&input, &source.name, None).map_err(Failure::Bad)?;
    let (mut base_free, mut base_taken_by, mut base_unknown) = (None, None, None);
    if file.width() == Width::W64 {
        match maps.get_or_insert_with(addresses::fresh) {
            Ok(maps) => {
                base_taken_by = taken(maps, file.base(), input.len() as u64);
                base_free = Some(base_taken_by.is_none());
            }
            Err(why) => base_unknown = Some(why.clone()),
        }
    }
    let (libraries, extension) = libraries(&file);
    // Standard input can be read only once.
    let module = match source.path {
        None => contents::of_one(source, &file),
        Some(_) => None,
    };
    Ok(Info {
        path: source.name.clone(),
        format: file.version(),
        width: file.width().bits(),
        bignums: match file.bignums() {
            Bignums::Gmp => "gmp",
            Bignums::Native => "native",
        },
        lean_version: file.lean_version().to_owned(),
        githash: file.githash().to_owned(),
        base: file.base(),
        base_free,
        base_taken_by,
        base_unknown,
        bytes: input.len() as u64,
        data_bytes: file.data().len() as u64,
        root: root(&file),
        closures: file.sections().map_or(0, |s| s.closure_offsets().len() as u64),
        libraries,
        extension,
        dependencies: Dependencies::of(&file),
        module,
    })
}

/// What the root's header says. The object is not proved, so nothing is taken for granted.
fn root(file: &File<'_>) -> Root {
    let word = file.root_word();
    if word & 1 != 0 {
        return Root::Scalar { value: word >> 1 };
    }
    let offset = word.wrapping_sub(file.base());
    if offset >= file.bytes().len() as u64 {
        return Root::Outside { address: word };
    }
    let header = file
        .bytes()
        .get(offset as usize..)
        .and_then(<[u8]>::first_chunk::<8>);
    let kind = header.and_then(|h| Kind::of_tag(h[7]));
    let (Some(header), Some(kind)) = (header, kind) else {
        return Root::Bad { address: word };
    };
    let (size, fields) = (u16::from_le_bytes([header[4], header[5]]), header[6]);
    let fixed = 8 + u64::from(fields) * file.width().bytes() as u64;
    Root::Object {
        offset,
        kind: kind.name(),
        tag: header[7],
        fields,
        scalar_bytes: match kind {
            Kind::Ctor => u64::from(size).saturating_sub(fixed),
            _ => 0,
        },
    }
}

/// The library table with the identities of the extension section, and what is wrong with that section.
fn libraries(file: &File<'_>) -> (Vec<LibraryInfo>, Option<String>) {
    let Some(sections) = file.sections() else {
        return (Vec::new(), None);
    };
    let (identities, extension) = match sections.extension {
        None => (None, None),
        Some(payload) => match extension::decode(payload, sections.libraries.len()) {
            Ok(e) => (e.identities, Some("identities of the libraries".to_owned())),
            Err(e) => (None, Some(e.to_string())),
        },
    };
    let closures = closures_of(file);
    let info = |(i, l): (usize, &Library<'_>)| LibraryInfo {
        id: String::from_utf8_lossy(l.id).into_owned(),
        base: l.base,
        closures: closures[i],
        identity: identities
            .as_ref()
            .and_then(|all| all.get(i))
            .map(LibraryIdentity::to_string),
    };
    (
        sections.libraries.iter().enumerate().map(info).collect(),
        extension,
    )
}

/// Number of closures whose code lies in each library.
fn closures_of(file: &File<'_>) -> Vec<u64> {
    let Some(sections) = file.sections() else {
        return Vec::new();
    };
    let mut counts = vec![0; sections.libraries.len()];
    let w = file.width().bytes();
    for offset in sections.closure_offsets() {
        let at = (file.data().start as u64)
            .checked_add(offset)
            .and_then(|a| usize::try_from(a).ok());
        let code = at.and_then(|at| file.bytes().get(at..)?.get(..w));
        let Some(code) = code else { continue };
        let address = code.iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b));
        if let Some(l) = file.library_of(address)
            && let Some(i) = sections
                .libraries
                .iter()
                .position(|other| other.offset == l.offset)
        {
            counts[i] += 1;
        }
    }
    counts
}

fn print(info: &Info, out: &mut Output) -> Result<()> {
    let width = out.width();
    writeln!(out, "{TITLE}{}{TITLE:#}", clean(&info.path))?;
    let mut line = |label: &str, text: String| contents::line(label, &text, out);
    let bignums = if info.bignums == "gmp" { "GMP" } else { "native" };
    line(
        "format",
        format!(
            "version {}, {}-bit pointers, {bignums} bignums",
            info.format, info.width
        ),
    )?;
    let githash = if info.githash.is_empty() {
        "no githash"
    } else {
        &info.githash
    };
    line("Lean", format!("{} ({githash})", info.lean_version))?;
    let free = match (&info.base_free, &info.base_taken_by) {
        _ if info.base_unknown.is_some() => {
            let why = info.base_unknown.as_deref().unwrap_or_default();
            format!(", not known whether it is free: {}", clean(why))
        }
        (Some(true), _) => format!(", {GOOD}free{GOOD:#} in a fresh process"),
        (Some(false), Some(by)) => format!(", {BAD}taken{BAD:#} in a fresh process by {}", clean(by)),
        _ => String::new(),
    };
    line("base", format!("0x{:x}{free}", info.base))?;
    line(
        "size",
        format!(
            "{} ({}), data {}",
            bytes(info.bytes),
            plural(info.bytes, "byte"),
            plural(info.data_bytes, "byte")
        ),
    )?;
    line("root", describe(&info.root))?;
    if info.format >= 3 {
        line("closures", count(info.closures))?;
    }
    for l in &info.libraries {
        line("library", cut(&clean(&l.id), width.saturating_sub(14)))?;
        let identity = l
            .identity
            .as_deref()
            .unwrap_or("not identified: only the path tells");
        line(
            "",
            format!("was at 0x{:x}, {}", l.base, plural(l.closures, "closure")),
        )?;
        line("", cut(identity, width.saturating_sub(14)))?;
    }
    if let Some(text) = &info.extension {
        line("extension", text.clone())?;
    }
    if let Some(dependencies) = &info.dependencies {
        line("made with", dependencies.text())?;
    }
    match &info.module {
        Some(module) => contents::print(module, out),
        None => Ok(()),
    }
}

fn describe(root: &Root) -> String {
    match root {
        Root::Scalar { value } => format!("the scalar {value}"),
        Root::Outside { address } => {
            format!("at 0x{address:x}: in a dependency, or the file is cut off")
        }
        Root::Bad { address } => format!("at 0x{address:x}, where no object is; see olean verify"),
        Root::Object {
            offset,
            kind: "ctor",
            tag,
            fields,
            scalar_bytes,
        } => format!(
            "constructor {tag} with {} and {} at offset 0x{offset:x}",
            plural((*fields).into(), "field"),
            plural(*scalar_bytes, "scalar byte")
        ),
        Root::Object { offset, kind, .. } => format!("{kind} at offset 0x{offset:x}"),
    }
}
