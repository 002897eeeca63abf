//! Dotted words that can be host names, by their top-level domain and how often it is something else.

/// How sure a top-level domain makes that a dotted word is a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DomainEvidence {
    /// It is none.
    None,
    /// A country's, and more often the suffix of a file: `main.rs`, `run.sh`.
    File,
    /// A country's, or a word.
    Rare,
    /// As often an attribute in code.
    Ambiguous,
    /// Wherever it stands.
    Sure,
}

const SURE: &str = " com org edu gov mil cn ru de uk jp kr fr eu biz cloud tech ai hk tw sg ca au ";

/// Domains that are attributes or words in code now and then.
const AMBIGUOUS: &str = " net io dev app us xyz icu mobi google microsoft aero jobs ";

/// Domains that are words: `traceq.top`, `log.info`.
const WORDS: &str = " info me top site online store shop club live pro link space world fun vip win work life run zone host \
    website tools systems network digital services team blog news page wiki global center email works studio design \
    media group company agency academy software solutions support pub one name int ";

/// Suffixes of files that are countries' domains, too.
const FILES: &str =
    " rs sh py pl md so ps cc in am la mk ml st bz zip mov ms lc do pm ai cat bin id as is at to by ";

/// The other domains of countries.
const RARE: &str = " ac ad ae af ag al ao aq ar at aw ax az ba bb bd be bf bg bh bi bj bm bn bo bs bt bw by cd cf cg ci \
    nl it es se ch br cl cm co cr cu cv cw cx cy cz dj dk dm dz ec ee eg er et fi fj fk fm fo ga gd ge gf gg gh gi gl gm gn gp gq gr gs \
    gt gu gw gy hm hn hr ht hu id ie il im iq ir is je jm jo ke kg kh ki km kn kp kw ky kz lb li lk lr ls lt lu lv ly \
    ma mc mg mh mm mn mo mp mq mr mt mu mv mw mx my mz na nc ne nf ng ni no np nr nu nz om pa pe pf pg ph pk pm pn pr \
    pt pw qa re ro sa sb sc sd si sk sl sm sn sr ss sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tz ua ug uy \
    uz va vc ve vg vi vn vu wf ws ye yt za zm zw su ";

fn list_contains(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|n| n == name)
}

/// Classifies a name by its last label.
pub(super) fn classify_domain(name: &str) -> DomainEvidence {
    let last = name.rsplit('.').next().unwrap_or_default();
    // `tokenize.NL` is a constant, and `ended.It` the beginning of a sentence.
    let upper = |t: &str| t.bytes().any(|b| b.is_ascii_uppercase());
    let lower = |t: &str| t.bytes().any(|b| b.is_ascii_lowercase());
    if upper(last) && (lower(last) || lower(name)) {
        return DomainEvidence::None;
    }
    let last = last.to_ascii_lowercase();
    match last.as_str() {
        "ai" => DomainEvidence::Sure,
        last if list_contains(SURE, last) => DomainEvidence::Sure,
        last if list_contains(FILES, last) => DomainEvidence::File,
        last if list_contains(AMBIGUOUS, last) => DomainEvidence::Ambiguous,
        last if list_contains(RARE, last) || list_contains(WORDS, last) => DomainEvidence::Rare,
        last if last.starts_with("xn--") => DomainEvidence::Sure,
        _ => DomainEvidence::None,
    }
}

/// Registries of container images, which stand without a scheme.
pub(super) fn is_registry(name: &str) -> bool {
    let known = [
        "nvcr.io",
        "ghcr.io",
        "quay.io",
        "gcr.io",
        "docker.io",
        "lscr.io",
        "registry.k8s.io",
        "public.ecr.aws",
    ];
    known.iter().any(|k| name == *k || name.strip_suffix(k).is_some_and(|n| n.ends_with('.')))
}

/// Labels of letters, digits and hyphens, two at least, with a name before the top-level domain.
pub(super) fn is_name(name: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    name.contains('.') && name.split('.').all(label)
}
