//! Rule sets for real nft and iptables, and the verdict that `hostck check` has to give on each.

/// The verdict of `hostck check` on one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A finding: nothing keeps other hosts out.
    Open,
    /// Nothing is said: the port is restricted.
    Closed,
    /// A note: it could not be decided.
    Unsure,
}

pub use Verdict::{Closed, Open, Unsure};

/// The program that loads a rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// Rules of an input chain of nft with this policy.
    Input(&'static str),
    /// A file for `nft -f`.
    Nft,
    /// Commands of a shell, with iptables of either kind.
    Shell,
    /// The same, with iptables-legacy, whose tables not every kernel has.
    Legacy,
}

pub use Loader::{Input, Legacy, Nft, Shell};

/// A rule set.
pub struct Case {
    pub loader: Loader,
    pub rules: &'static str,
    /// Another port that the other host tries, too; 0 is none.
    pub via: u16,
    pub v4: Verdict,
    pub v6: Verdict,
}

const fn case(loader: Loader, rules: &'static str, v4: Verdict, v6: Verdict) -> Case {
    Case { loader, rules, via: 0, v4, v6 }
}

const fn via(via: u16, loader: Loader, rules: &'static str, v4: Verdict, v6: Verdict) -> Case {
    Case { loader, rules, via, v4, v6 }
}

const DROP: Loader = Input("drop");
const ACCEPT: Loader = Input("accept");

pub const CASES: &[Case] = &[
    case(Nft, "", Open, Open),
    // Connection tracking: as reported, and its siblings.
    case(DROP, "ct state new tcp dport 1778 accept", Open, Open),
    case(DROP, "ct state { new, established } tcp dport 1778 accept", Open, Open),
    case(DROP, "ct state vmap { established : accept, new : accept, invalid : drop }", Open, Open),
    case(DROP, "ct state & (new|established) != 0 accept", Open, Open),
    case(DROP, "ct state != invalid accept", Open, Open),
    case(DROP, "ct state established,related accept", Closed, Closed),
    case(ACCEPT, "ct state new tcp dport 1778 drop", Closed, Closed),
    case(ACCEPT, "ct state != new accept; tcp dport 1778 drop", Closed, Closed),
    case(ACCEPT, "ct state invalid drop", Open, Open),
    case(DROP, "ct direction original tcp dport 1778 accept", Open, Open),
    case(DROP, "ct original ip saddr 192.0.2.1 accept", Unsure, Unsure),
    // Values of several words.
    case(DROP, "tcp dport 1778 meta mark set 0x1 ct mark set meta mark accept", Open, Open),
    case(ACCEPT, "meta mark set meta mark | 0x10 tcp dport 1778 drop", Closed, Closed),
    case(DROP, "meta mark set ct mark and 0xff or 0x10 ct mark set meta mark accept", Open, Open),
    // A value that is not there ends the rule.
    case(ACCEPT, "meta mark set tcp dport map { 22 : 0x1 } drop", Unsure, Unsure),
    case(ACCEPT, "meta mark set ip dscp map { cs0 : 0x1 } drop", Unsure, Unsure),
    // Protocols and families.
    case(DROP, "meta nfproto ipv4 tcp dport 1778 accept", Open, Closed),
    // nft lists it without the condition, which the kind of reply implies.
    case(ACCEPT, "meta nfproto ipv4 reject", Closed, Open),
    case(ACCEPT, "tcp dport 1778 reject with icmpv6 admin-prohibited", Open, Closed),
    case(DROP, "meta l4proto { tcp, udp } th dport 1778 accept", Open, Open),
    case(DROP, "ip protocol tcp accept", Open, Closed),
    case(DROP, "ip6 nexthdr tcp accept", Closed, Open),
    case(DROP, "udp dport 1778 accept", Closed, Closed),
    case(ACCEPT, "udp dport != 53 drop", Open, Open),
    case(DROP, "meta protocol ip accept", Open, Closed),
    // Ports.
    case(DROP, "tcp dport { 22, 1000-2000 } accept", Open, Open),
    case(DROP, "tcp dport != 22 accept", Open, Open),
    case(DROP, "tcp dport >= 1024 accept", Open, Open),
    case(DROP, "tcp dport 22 accept", Closed, Closed),
    case(DROP, "tcp dport vmap { 22 : drop, 1700-1800 : accept }", Open, Open),
    case(ACCEPT, "tcp dport vmap { 22 : accept, * : drop }", Closed, Closed),
    case(DROP, "@th,16,16 1778 accept", Open, Open),
    case(DROP, "@th,0,32 & 0xffff == 1778 accept", Unsure, Unsure),
    // Interfaces.
    case(DROP, "iif lo accept", Closed, Closed),
    case(DROP, "iifname != \"lo\" accept", Open, Open),
    case(DROP, "iifname v tcp dport 1778 accept", Unsure, Unsure),
    case(ACCEPT, "iifname \"eth*\" drop", Unsure, Unsure),
    case(DROP, "meta iiftype loopback accept", Closed, Closed),
    // Sources.
    case(ACCEPT, "tcp dport 1778 ip saddr != 10.0.0.0/8 drop; tcp dport 1778 ip6 saddr != fd00::/8 drop", Closed, Closed),
    case(DROP, "ip saddr { 0.0.0.0/1, 128.0.0.0/1 } accept; ip6 saddr ::/0 accept", Open, Open),
    case(DROP, "ip saddr 0.0.0.0-255.255.255.255 accept", Open, Closed),
    case(
        DROP,
        "ip saddr 128.0.0.0/4 accept; ip saddr 144.0.0.0/4 accept; ip saddr 160.0.0.0/4 accept; ip saddr 176.0.0.0/4 accept; \
         ip saddr 192.0.0.0/4 accept",
        Unsure,
        Closed,
    ),
    case(DROP, "ip saddr & 0.0.0.1 == 0.0.0.0 accept", Unsure, Closed),
    case(DROP, "ip saddr . tcp dport { 10.0.0.0/8 . 1778, 0.0.0.0/0 . 22 } accept", Closed, Closed),
    case(DROP, "ip saddr . tcp dport { 0.0.0.0/0 . 1778 } accept", Open, Closed),
    case(DROP, "ip daddr 198.51.100.1 tcp dport 1778 accept", Unsure, Closed),
    case(DROP, "fib daddr type local tcp dport 1778 accept", Open, Open),
    case(ACCEPT, "fib saddr . iif oif missing drop", Unsure, Unsure),
    // Flags of TCP.
    case(DROP, "tcp flags & (fin|syn|rst|ack) == syn accept", Open, Open),
    case(DROP, "tcp flags syn accept", Open, Open),
    case(ACCEPT, "tcp flags & (syn|ack) == (syn|ack) drop", Open, Open),
    case(DROP, "tcp flags == syn accept", Unsure, Unsure),
    // Limits and other conditions that depend on more than the packet.
    case(DROP, "tcp dport 1778 limit rate 10/second accept", Open, Open),
    case(ACCEPT, "tcp dport 1778 limit rate over 10/second drop", Open, Open),
    case(ACCEPT, "tcp dport 1778 limit rate 10/second drop", Unsure, Unsure),
    case(ACCEPT, "tcp dport 1778 ct count 100 drop", Unsure, Unsure),
    case(DROP, "meta mark 0 accept", Unsure, Unsure),
    case(DROP, "numgen random mod 1 0 accept", Unsure, Unsure),
    case(DROP, "jhash ip saddr mod 1 0 accept", Unsure, Unsure),
    case(DROP, "socket transparent 0 accept", Unsure, Unsure),
    case(ACCEPT, "meta skuid != 0 drop", Unsure, Unsure),
    case(ACCEPT, "tcp option maxseg size > 1 drop", Unsure, Unsure),
    case(ACCEPT, "quota over 1 bytes drop", Unsure, Unsure),
    case(ACCEPT, "meta pkttype { broadcast, multicast } drop", Open, Open),
    // Chains, sets and maps.
    case(
        Nft,
        "table inet f { set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
         chain g { ip saddr @s return; drop; }
         chain in { type filter hook input priority 0; tcp dport 1778 jump g; } }",
        Closed,
        Closed,
    ),
    case(
        Nft,
        "table inet f { set s { type inet_service; elements = { 1778 }; }
         chain in { type filter hook input priority 0; policy drop; tcp dport @s accept; } }",
        Open,
        Open,
    ),
    case(
        Nft,
        "table inet f { set s { type ipv4_addr; flags dynamic; timeout 1h; }
         chain in { type filter hook input priority 0; policy drop; add @s { ip saddr }; ip saddr @s accept; } }",
        Unsure,
        Closed,
    ),
    case(
        Nft,
        "table inet f { map m { type inet_service : verdict; elements = { 1778 : jump g }; }
         chain g { accept; }
         chain in { type filter hook input priority 0; policy drop; tcp dport vmap @m; } }",
        Open,
        Open,
    ),
    // Several base chains: an accept is not the last word, a drop is.
    case(
        Nft,
        "table inet a { chain x { type filter hook input priority -5; tcp dport 1778 accept; } }
         table inet b { chain y { type filter hook input priority 5; policy drop; } }",
        Closed,
        Closed,
    ),
    case(
        Nft,
        "table inet a { chain x { type filter hook prerouting priority -300; ct state invalid drop; } }",
        Closed,
        Closed,
    ),
    case(
        Nft,
        "table inet a { chain x { type filter hook prerouting priority -300; notrack; } }
         table inet b { chain y { type filter hook input priority 0; policy drop; ct state new accept; } }",
        Unsure,
        Unsure,
    ),
    case(
        Nft,
        "table inet f { chain out { type filter hook output priority 0; policy drop; ct state established accept; } }",
        Open,
        Open,
    ),
    case(Nft, "table inet f { chain out { type filter hook output priority 0; policy drop; } }", Unsure, Unsure),
    case(
        Nft,
        "table netdev f { chain i { type filter hook ingress device v priority 0; tcp dport 1778 drop; } }",
        Unsure,
        Unsure,
    ),
    case(
        Nft,
        "table netdev f { chain i { type filter hook ingress device v priority 0; ip saddr != 10.0.0.0/8 drop; } }",
        Unsure,
        // Such a rule is for IPv4 only.
        Open,
    ),
    case(
        Nft,
        "table netdev f { chain e { type filter hook egress device v priority 0; tcp sport 1778 drop; } }",
        Unsure,
        Unsure,
    ),
    case(
        Nft,
        "table inet f { chain out { type filter hook output priority 0; tcp sport 1778 drop; } }",
        Unsure,
        Unsure,
    ),
    case(
        Nft,
        "table inet f { flags dormant; chain in { type filter hook input priority 0; policy drop; } }",
        Open,
        Open,
    ),
    // Translated addresses and ports.
    via(
        80,
        Nft,
        "table inet n { chain p { type nat hook prerouting priority -100; tcp dport 80 redirect to :1778; } }
         table inet f { chain p { type filter hook prerouting priority -300; tcp dport 1778 drop; } }",
        Unsure,
        Unsure,
    ),
    case(
        Nft,
        "table inet n { chain p { type nat hook prerouting priority -100; tcp dport 1778 redirect to :80; } }",
        Unsure,
        Unsure,
    ),
    via(
        80,
        Nft,
        "table inet n { chain p { type nat hook prerouting priority -100; tcp dport 80 redirect to :1778; } }
         table inet f { chain i { type filter hook input priority 0; tcp dport 1778 drop; } }",
        Closed,
        Closed,
    ),
    via(
        80,
        Nft,
        "table inet n { chain p { type nat hook prerouting priority -100; tcp dport 80 redirect to :1778; } }
         table inet f { chain i { type filter hook input priority 0; policy drop; ct status dnat accept; } }",
        Unsure,
        Unsure,
    ),
    // As firewalld writes it, without and with the port.
    case(
        Nft,
        "table inet firewalld { chain pre { type filter hook prerouting priority -140; icmpv6 type { nd-router-advert } accept; meta nfproto ipv6 fib saddr . mark . iif oif missing drop; }
         chain public { tcp dport 22 accept; meta l4proto { icmp, ipv6-icmp } accept; reject with icmpx admin-prohibited; }
         chain zones { iifname v goto public; goto public; }
         chain in { type filter hook input priority 10; policy accept; ct state { established, related } accept; ct status dnat accept;
         iifname lo accept; ct state invalid drop; jump zones; reject with icmpx admin-prohibited; } }",
        Closed,
        Closed,
    ),
    case(
        Nft,
        "table inet firewalld { chain pre { type filter hook prerouting priority -140; icmpv6 type { nd-router-advert } accept; meta nfproto ipv6 fib saddr . mark . iif oif missing drop; }
         chain public { tcp dport 1778 ct state { new, untracked } accept; reject with icmpx admin-prohibited; }
         chain zones { iifname v goto public; goto public; }
         chain in { type filter hook input priority 10; policy accept; ct state { established, related } accept; ct status dnat accept;
         iifname lo accept; ct state invalid drop; jump zones; reject with icmpx admin-prohibited; } }",
        Open,
        Unsure,
    ),
    // As ufw writes it, without and with the port.
    case(
        Shell,
        "for t in iptables ip6tables; do $t -P INPUT DROP; $t -N before; $t -N notlocal; $t -N user; $t -A INPUT -j before; $t -A INPUT -j user
         $t -A before -i lo -j ACCEPT; $t -A before -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
         $t -A before -m conntrack --ctstate INVALID -j DROP; $t -A before -j notlocal
         $t -A notlocal -m addrtype --dst-type LOCAL -j RETURN; $t -A notlocal -m limit --limit 3/min -j LOG; $t -A notlocal -j DROP
         $t -A user -p tcp --dport 22 -j ACCEPT; done",
        Closed,
        Closed,
    ),
    case(
        Shell,
        "for t in iptables ip6tables; do $t -P INPUT DROP; $t -N before; $t -N notlocal; $t -N user; $t -A INPUT -j before; $t -A INPUT -j user
         $t -A before -i lo -j ACCEPT; $t -A before -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
         $t -A before -m conntrack --ctstate INVALID -j DROP; $t -A before -j notlocal
         $t -A notlocal -m addrtype --dst-type LOCAL -j RETURN; $t -A notlocal -m limit --limit 3/min -j LOG; $t -A notlocal -j DROP
         $t -A user -p tcp --dport 1778 -j ACCEPT; done",
        Open,
        Open,
    ),
    // iptables that keeps its tables in nftables.
    // Without a line for the built-in chain, and a state that is listed twice.
    case(
        Shell,
        "printf '*filter\\n-A INPUT -p tcp --dport 1778 -j DROP\\nCOMMIT\\n' | iptables-restore",
        Closed,
        Open,
    ),
    case(Shell, "iptables -A INPUT -p tcp -m conntrack --ctstate NEW,NEW -j DROP", Closed, Open),
    // A flush of one family keeps the tables of the others.
    case(
        Nft,
        "table ip a { chain in { type filter hook input priority 0; policy drop; } }\nflush ruleset ip6",
        Closed,
        Open,
    ),
    case(Shell, "iptables -P INPUT DROP; ip6tables -P INPUT DROP", Closed, Closed),
    case(
        Shell,
        "for t in iptables ip6tables; do $t -P INPUT DROP
         $t -A INPUT -m conntrack --ctstate NEW -p tcp --dport 1778 -m comment --comment 'for all' -j ACCEPT; done",
        Open,
        Open,
    ),
    case(Shell, "iptables -A INPUT -p tcp --syn -m multiport --dports 22,1778 -j REJECT", Closed, Open),
    case(Shell, "iptables -A INPUT -p tcp --tcp-flags ALL SYN -m state --state NEW -j DROP", Closed, Open),
    case(Shell, "iptables -A INPUT ! -s 10.0.0.0/8 -p tcp --dport 1778 -j DROP", Closed, Open),
    case(Shell, "iptables -A INPUT -p tcp -m string --string nothing-of-this --algo bm -j DROP", Unsure, Open),
    case(Shell, "iptables -P INPUT DROP; iptables -A INPUT -p tcp -m u32 --u32 '0&0x0=0' -j ACCEPT", Unsure, Open),
    case(Shell, "iptables -A INPUT -m pkttype --pkt-type unicast -p tcp --dport 1778 -j DROP", Closed, Open),
    case(
        Shell,
        "iptables -P INPUT DROP; iptables -N g; iptables -A INPUT ! -i lo -g g; iptables -A g -p tcp -j ACCEPT",
        Open,
        Open,
    ),
    case(Shell, "iptables -t raw -A PREROUTING -p tcp --dport 1778 -j DROP", Closed, Open),
    case(
        Shell,
        "iptables -t raw -A PREROUTING -p tcp -j CT --notrack; iptables -P INPUT DROP
         iptables -A INPUT -m conntrack --ctstate NEW -j ACCEPT",
        Unsure,
        Open,
    ),
    via(
        80,
        Shell,
        "iptables -t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 1778
         iptables -t raw -A PREROUTING -p tcp --dport 1778 -j DROP",
        Unsure,
        Open,
    ),
    // A table of iptables that holds a rule of nft, which iptables then does not show.
    case(
        Shell,
        "iptables -P INPUT DROP; iptables -A INPUT -p tcp --dport 22 -j ACCEPT
         nft insert rule ip filter INPUT numgen random mod 1 0 accept",
        Unsure,
        Open,
    ),
    // iptables with tables of its own.
    case(Legacy, "iptables-legacy -A INPUT -p tcp --dport 1778 -j DROP", Closed, Open),
    case(
        Legacy,
        "for t in iptables-legacy ip6tables-legacy; do $t -P INPUT DROP
         $t -A INPUT -p tcp -m conntrack --ctstate NEW,RELATED -j ACCEPT; done",
        Open,
        Open,
    ),
    case(
        Legacy,
        "iptables-legacy -P INPUT DROP; iptables -A INPUT -p tcp --dport 1778 -j ACCEPT",
        Closed,
        Open,
    ),
    case(
        Legacy,
        "iptables-legacy -A INPUT -p tcp --dport 1778 -m length --length 1:65535 -j DROP; ip6tables -A INPUT -p tcp --dport 1778 -j DROP",
        Unsure,
        Closed,
    ),
];
