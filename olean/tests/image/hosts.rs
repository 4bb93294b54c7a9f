//! Images on imitated runtimes of every generation: where regions are handles, one that lives is not given out again,
//! and where all parts of a module come in one call, they come from the image whole or not at all.

use super::{IMAGE, olean, set_age};
use std::fs;
use std::process::Command;
use testkit::hosts::HOSTS;
use testkit::{Value, library, process, temp_dir};

#[test]
fn an_image_serves_hosts_of_every_generation() {
    for host in HOSTS {
        let (label, built, work) = (host.label(), temp_dir("image-host"), temp_dir("image-host-work"));
        let program = host.build(built.path(), "image.c");
        let report = built.path().join("report.json");
        let run = |what: &str, env: &[(&str, &str)]| {
            let mut command = Command::new(&program);
            command
                .arg(what)
                .arg(work.path())
                .env("LD_PRELOAD", library())
                .env("LEAN_REGION_REPORT", &report)
                .envs(env.iter().copied());
            let output = process::run(&mut command);
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{label}, {what} {env:?}: {output}"
            );
            let report: Value = fs::read_to_string(&report).unwrap().parse().unwrap();
            ["served", "stale", "absent"].map(|n| report["image"][n].as_u64().unwrap_or(0))
        };
        run("save", &[]);
        for name in ["p", "q", "c", "r"] {
            set_age(&work.path().join(name), 60);
        }
        // Their names say nothing of what they are: a folder would not be searched for them, and q is no part of p's
        // module. So they get such names for the builder.
        let links = temp_dir("image-host-links");
        for (name, module) in [
            ("p", "P.olean"),
            ("q", "P.olean.server"),
            ("c", "C.olean"),
            ("r", "R.olean"),
        ] {
            std::os::unix::fs::symlink(work.path().join(name), links.path().join(module)).unwrap();
        }
        let output = process::run(olean(links.path()).args(["image", "build", ".", "-o", IMAGE]));
        output.success();
        let image = links.path().join(IMAGE);
        let image = [("LEAN_REGION_IMAGE", image.to_str().unwrap())];
        let [served, stale, _] = run("read", &image);
        // On structures every read of p and q is served; elsewhere what lives is not, nor what is read over another p.
        let (expected, refused) = match host.abi {
            "structure" => (15, 0),
            "handle" => (11, 3),
            _ => (9, 0),
        };
        assert_eq!((served, stale), (expected, refused), "{label}");
        let verified = [image[0], ("LEAN_REGION_VERIFY", "1")];
        assert_eq!(run("read", &verified)[0], expected, "{label}");
        run("detach", &image);
        assert_eq!(run("copied", &image)[0], 1, "{label}");
        let around = [image[0], ("LEAN_REGION_FORCE_RELOCATE", "1")];
        assert_eq!(run("around", &around), [0, 0, 0], "{label}");
        set_age(&work.path().join("q"), 30);
        assert_eq!(run("changed", &image)[1], 1, "{label}");
    }
}
