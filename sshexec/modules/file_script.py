"""What a host is told for the ``file`` module: POSIX shell that looks at a path, decides, changes and tells, all at
once.

Works with the tools of GNU, busybox and BSD. The order of its steps is that of Ansible's module, so that a failure half
way leaves what Ansible's leaves. It answers with records of three fields, each ended by NUL, which `modules/file.py`
reads: what is told, and two values.
"""

from __future__ import annotations

from sshexec.modules.wish import SETTERS

REAL = r"""
target() { r=$(readlink -- "$1" && echo x) && r=${r%??}; }
parent() {
case $1 in */*) d=${1%/*}; while :; do case $d in */) d=${d%/} ;; *) break ;; esac; done; d=${d:-/} ;; *) d= ;; esac
}
join() { case $2 in /*) j=$2 ;; *) case $1 in '' | */) j=$1$2 ;; *) j=$1/$2 ;; esac ;; esac; }
inside() { parent "$1"; d=$(cd -P -- "${d:-.}" 2>/dev/null && pwd -P && echo x) && d=${d%??}; }
real() {
# Of a link that leads nowhere, readlink -f differs from host to host, and GNU's may not come to an end.
[ -e "$1" ] && r=$(readlink -f -- "$1" 2>/dev/null && echo x) && { r=${r%??}; return; }
j=$1 z=0
while [ -L "$j" ] && [ $z -lt 40 ]; do
z=$((z + 1))
target "$j" && inside "$j" || break
join "$d" "$r"
done
inside "$j" && j=${d%/}/${j##*/}
r=$j
}
"""
"""Shell function ``real PATH``: puts what the path is with every link followed into ``$r``."""

FUNCTIONS = (
    SETTERS
    + REAL
    + r"""
say() { printf '%s\0%s\0%s\0' "$1" "${2-}" "${3-}"; }
changed() { [ "$told" ] || say changed; told=1; }
note() { changed; [ "$quiet" ] || say "diff $1" "$2" "$3"; }
at() { p=$1; case $1 in -*) q=./$1 ;; *) q=$1 ;; esac; }
lines() {
stat -c %h:%i:0x%f:%u:%g:%s:%U:%G -- "$@" 2>/dev/null || stat -f %l:%i:0%p:%u:%g:%z:%Su:%Sg -- "$@" 2>/dev/null
}
show() {
[ -e "$1" ] && x=$(lines "$1") || return 0
say stat "$x"
[ ! -e /sys/fs/selinux/enforce ] || ! x=$(stat -c %C -- "$1" 2>/dev/null) || say secontext "$x"
}
fail() { say fail "$1" "$2"; say at "$p"; show "$p"; [ ! "$made" ] || rm -f -- "$made"; exit 9; }
kind() {
if [ -L "$1" ]; then k=link
elif [ -d "$1" ]; then k=directory
elif [ -e "$1" ]; then k=file; x=$(lines "$1") || x=1:; [ "${x%%:*}" -lt 2 ] || k=hard
else k=absent
fi
}
seconds() {
case $1 in *' '*) v=${1#*.}; [ "$v" != "$1" ] || v=0; v=${1%% *}.${v%% *} ;; *) v=$1 ;; esac
}
clock() {
if v=$(stat -L -c '%Y %y' -- "$1" 2>/dev/null); then seconds "$v"; om=$v; seconds "$(stat -L -c '%X %x' -- "$1")"; oa=$v
else om=$(stat -L -f %Fm -- "$1" 2>/dev/null) && oa=$(stat -L -f %Fa -- "$1" 2>/dev/null)
fi
}
is() {
[ "$1" ] || return 0
[ "$1" = "${2%%.*}" ] && case $2 in *.*[1-9]*) return 1 ;; esac
}
touches() {
case $2 in '') ;; now) e=$(touch -c "$1" -- "$q" 2>&1) ;; *) e=$(touch -c "$1" -t "$3" -- "$q" 2>&1) ;; esac
}
stamp() {
[ "$mtime$atime" ] || return 0
at "$1"
clock "$1" || { e=$(stat -L -- "$1" 2>&1); fail stat "$e"; }
m=${mtime:-$om} a=${atime:-$oa}
! is "$mtime" "$om" || ! is "$atime" "$oa" || return 0
changed
if [ ! "$doing" ]; then :
elif [ "$mtime$atime" = nownow ]; then e=$(touch -c -- "$1" 2>&1) || fail times "$e"
else { touches -m "$mtime" "$mstamp" && touches -a "$atime" "$astamp"; } || fail times "$e"
fi
[ ! "$quiet" ] || return 0
v=$(date +%s.%N)
[ "$m" != now ] || m=$v
[ "$a" != now ] || a=$v
is "$mtime" "$om" || say "diff mtime" "$om" "$m"
is "$atime" "$oa" || say "diff atime" "$oa" "$a"
}
epoch() { v=$(date -d "$1" +%s 2>/dev/null || date -j -f %Y%m%d%H%M.%S "$2" +%s 2>/dev/null) || v=unknown; }
bits_of() {
m=$(($1 & 4095)) x=0
b=$m
[ "$t" != 16384 ] || x=73
wanted
[ "$m" != "$b" ] || return 0
[ "$quiet" ] || say "diff mode" "$b" "$m"
[ "$doing" ] || { changed; return; }
[ "$t" != 40960 ] || return 0
bits "$(printf 0%04o "$m")"
if [ $((m & 1024)) != 0 ]; then
x=$(lines "$q") && x=${x#*:*:} && [ $((${x%%:*} & 4095)) = "$b" ] && return
fi
changed
}
set_one() {
at "$1"
t=$(($2 & 61440))
[ ! "$contexts" ] || context_of
if [ "$owns" ]; then
[ "$uid" ] || { user "$owner"; uid=$n; }
[ "$3" = "$uid" ] || { note owner "$3" "$uid"; [ ! "$doing" ] || own "$uid"; }
fi
if [ "$groups" ]; then
[ "$gid" ] || { group "$group"; gid=$n; }
[ "$4" = "$gid" ] || { note group "$4" "$gid"; [ ! "$doing" ] || grp "$gid"; }
fi
[ ! "$modes" ] || bits_of "$2"
[ ! "$attributes" ] || attributes_of
}
apply() {
[ "$owns$groups$modes$attributes$contexts" ] || return 0
at "$1"
x=$(lines "$1") || fail system "No such file or directory"
IFS=: read -r _ _ f o g _ <<E
$x
E
set_one "$1" "$f" "$o" "$g"
}
each() {
x=$(lines "$@") || x=
if [ ! "$x" ]; then
[ $# = 1 ] || for y do each "$y"; done
return
fi
while IFS=: read -r _ _ f o g _; do
y=${1%/./*}/${1##*/./}
shift
set_one "$y" "$f" "$o" "$g"
stamp "$y"
if [ ! -L "$y" ]; then [ ! -d "$y" ] || walk "$y"
elif [ "$follow" ]; then
target "$y"; join "${y%/*}" "$r"; y=$j
[ -e "$y" ] || continue
[ ! -d "$y" ] || walk "$y"
apply "$y"
stamp "$y"
fi
done <<E
$x
E
}
walk() {
[ -r "$1" ] && [ -x "$1" ] || return 0
at "$1"
[ "$depth" -lt 100 ] || fail depth "maximum recursion depth exceeded"
depth=$((depth + 1)) uid=$uid gid=$gid quiet=1 all=$all find "$q/." ! -name . -prune \
-exec /bin/sh -c 'eval "$all"; each "$@"' sh {} + </dev/null || exit 9
}
"""
)
"""Functions that need nothing but variables."""

INSIDE = r"""
case $state in
link | absent) ;;
*) [ ! -d "$P" ] || [ ! "$base" ] || { join "$P" "$base"; P=$j; } ;;
esac
"""
"""Moves to a place in a directory, where a name for it is known; ``$P`` is the path."""

BEGIN = r"""
say main "$P" "$state"
[ ! "$sources" ] || say src "$src"
at "$P"
[ ! "$recurse" ] || [ "$state" = directory ] || fail recurse
[ ! "$src" ] || case $state in link | hard) ;; *) fail src ;; esac
kind "$P"
"""
"""Refuses what does not fit; ``$k`` is then the kind of what is there."""

PREPARE = r"""
resolve() { [ ! "$follow" ] || [ "$k" != link ] || { real "$P"; P=$r; kind "$P"; at "$P"; say main "$P" "$state"; }; }
loaded() { l=$P; [ ! "$follow" ] || [ ! -L "$P" ] || { real "$P"; l=$r; }; }
was() { say was "$k"; }
content() {
for i in "$1"/* "$1"/.[!.]* "$1"/..?*; do
if [ -d "$i" ]; then say directory "$i"; elif [ -e "$i" ] || [ -L "$i" ]; then say file "$i"; fi
done
for i in "$1"/* "$1"/.[!.]* "$1"/..?*; do
[ -L "$i" ] || [ ! -d "$i" ] || (content "$i")
done
}
temporary() { parent "$P"; join "$d" ".$$.sshexec.tmp"; T=$j; trap 'rm -f -- "$T"' EXIT; }
replace() {
if [ -d "$P" ] && [ -L "$P" ]; then
mv -fT -- "$T" "$P" 2>/dev/null || mv -fh -- "$T" "$P" 2>/dev/null || { rm -f -- "$P" && mv -f -- "$T" "$P"; }
else mv -f -- "$T" "$P"
fi
}
"""

STATES = {
    "file": r"""
resolve
case $k in file | hard) ;; *) fail state "$k" ;; esac
was
apply "$P"
stamp "$P"
""",
    "directory": r"""
resolve
was
case $k in
absent)
changed
if [ "$doing" ]; then
M=$P i=
while :; do case $M in /*) M=${M#/} ;; */) M=${M%/} ;; *) break ;; esac; done
case $P in /*) i=/ ;; esac
while :; do
i=$i${M%%/*}
if [ ! -e "$i" ]; then
at "$i"
e=$(mkdir -- "$i" 2>&1) || [ -d "$i" ] || { say made "$i"; p=$P; fail mkdir "$e"; }
apply "$i"
stamp "$i"
fi
case $M in */*) M=${M#*/} i=$i/ ;; *) break ;; esac
done
fi ;;
directory)
apply "$P"
stamp "$P"
[ ! "$recurse" ] || { quiet=1; walk "$P"; } ;;
*) fail exists "$k" ;;
esac
""",
    "link": r"""
if [ ! "$sources" ] && [ "$follow" ] && [ -e "$P" ]; then
target "$P" || fail system "Invalid argument"
src=$r sources=1
say src "$src"
fi
if [ ! -L "$P" ] && [ -d "$P" ]; then d=$P; else parent "$P"; fi
join "$d" "$src"
[ "$force" ] || [ ! "$sources" ] || [ -e "$j" ] || fail dangling "$j"
case $k:$force in
directory:1) x=$(ls -A -- "$q") && [ ! "$x" ] || fail full ;;
directory: | file: | hard:) fail refuse "$k" ;;
esac
was
if [ "$k" != link ]; then
[ "$sources" ] || fail unsourced symlinks
do=1
elif [ "$sources" ] && target "$P" && [ "$r" != "$src" ]; then
note src "$r" "$src"
do=1
fi
if [ "$do" ]; then
changed
if [ ! "$doing" ]; then :
elif [ "$k" = absent ]; then e=$(ln -s -- "$src" "$P" 2>&1) || fail link "$e"
else
temporary
{ [ "$k" != directory ] || e=$(rmdir -- "$P" 2>&1); } && e=$(ln -sn -- "$src" "$T" 2>&1) && e=$(replace 2>&1) || {
say temporary "$T"; fail replace "$e"; }
fi
fi
if [ "$doing" ] || [ -e "$P" ]; then
loaded
if [ "$follow" ] && [ -L "$P" ] && [ ! -e "$l" ]; then say unset
else
apply "$l"
stamp "$l"
fi
fi
""",
    "hard": r"""
loaded
[ "$k" = hard ] || [ "$sources" ] || fail unsourced hardlinks
[ ! "$sources" ] || [ -e "$src" ] || fail missing
inode() { x=$(stat -L -c %i -- "$1" 2>/dev/null || stat -L -f %i -- "$1"); }
twins() { inode "$P"; y=$x; inode "$src"; [ "$x" = "$y" ]; }
was
case $k in
absent) do=1 ;;
link) ! target "$P" || [ "$r" = "$src" ] || { note src "$r" "$src"; do=1; } ;;
hard) [ ! "$sources" ] || twins || { do=1; [ "$force" ] || fail otherlink; } ;;
file) do=1; [ "$force" ] || fail inplace "$k" ;;
directory)
if twins; then say twins; show "$P"; exit 0; fi
[ "$force" ] || fail otherdir
do=1 ;;
esac
if [ "$do" ]; then
changed
hardlink() {
if [ -d "$1" ]; then echo ": Operation not permitted"; return 1; fi
if [ -L "$1" ]; then ln -nP -- "$1" "$2" 2>/dev/null && return; fi
ln -n -- "$1" "$2" 2>&1
}
s=$src
if [ ! "$doing" ]; then :
elif [ "$k" = absent ]; then
[ ! "$follow" ] || [ ! -L "$s" ] || { target "$s"; s=$r; }
e=$(hardlink "$s" "$P") || { say linked "$s"; fail link "$e"; }
else
temporary
[ "$k" != directory ] || fail system "Is a directory"
e=$(hardlink "$s" "$T") && e=$(replace 2>&1) || { say temporary "$T"; fail replace "$e"; }
fi
fi
if [ "$doing" ] || [ -e "$P" ]; then
apply "$l"
stamp "$l"
fi
""",
    "touch": r"""
new=
if [ "$k" = absent ]; then
changed
new=1
if [ "$doing" ]; then e=$( (: >>"$q") 2>&1) || fail touch "$e"; made=$P; fi
fi
if [ "$doing" ] || [ ! "$new" ]; then
was
loaded
apply "$l"
stamp "$l"
made=
fi
""",
    "absent": r"""
if [ "$k" != absent ]; then
was
changed
[ ! "$diffs" ] || [ "$k" != directory ] || content "$P"
if [ ! "$doing" ]; then :
elif [ "$k" = directory ]; then
e=$(rm -rf -- "$P" 2>&1) || fail rmtree "$e"
# Through a link with a slash behind it GNU's rm empties the directory, and says nothing of what it can't remove.
[ ! -L "${P%/}" ] || fail rmtree "[Errno 20] Not a directory: '$P'"
else e=$(rm -f -- "$P" 2>&1) || fail unlink "$e"
fi
fi
""",
}
"""What each state does."""

END = """
say end
show "$P"
"""
