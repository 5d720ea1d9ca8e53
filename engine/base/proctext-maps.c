/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /proc/PID/maps and smaps. A file of 20,000 areas has half a million lines: one pass, a first-byte
 * test for each line, and one buffer for all the paths.
 */
#include "engine/base/proctext-maps.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/base/buf.h"
#include "engine/base/proctext-priv.h"

/* 1 + enum proc_vmflag by the two letters of the word; 0 for words that are not known. */
#define W(a, b) [(a) - 'a'][(b) - 'a']
static const uint8_t vmflag_words[26][26] = {
	W('r', 'd') = 1 + VMF_RD, W('w', 'r') = 1 + VMF_WR, W('e', 'x') = 1 + VMF_EX,
	W('s', 'h') = 1 + VMF_SH, W('m', 'r') = 1 + VMF_MR, W('m', 'w') = 1 + VMF_MW,
	W('m', 'e') = 1 + VMF_ME, W('m', 's') = 1 + VMF_MS, W('g', 'd') = 1 + VMF_GD,
	W('p', 'f') = 1 + VMF_PF, W('d', 'w') = 1 + VMF_DW, W('l', 'o') = 1 + VMF_LO,
	W('i', 'o') = 1 + VMF_IO, W('s', 'r') = 1 + VMF_SR, W('r', 'r') = 1 + VMF_RR,
	W('d', 'c') = 1 + VMF_DC, W('d', 'e') = 1 + VMF_DE, W('l', 'f') = 1 + VMF_LF,
	W('a', 'c') = 1 + VMF_AC, W('n', 'r') = 1 + VMF_NR, W('h', 't') = 1 + VMF_HT,
	W('s', 'f') = 1 + VMF_SF, W('n', 'l') = 1 + VMF_NL, W('a', 'r') = 1 + VMF_AR,
	W('w', 'f') = 1 + VMF_WF, W('d', 'd') = 1 + VMF_DD, W('s', 'd') = 1 + VMF_SD,
	W('m', 'm') = 1 + VMF_MM, W('h', 'g') = 1 + VMF_HG, W('n', 'h') = 1 + VMF_NH,
	W('m', 'g') = 1 + VMF_MG, W('u', 'm') = 1 + VMF_UM, W('u', 'w') = 1 + VMF_UW,
	W('u', 'i') = 1 + VMF_UI, W('s', 's') = 1 + VMF_SS, W('s', 'l') = 1 + VMF_SL,
	W('d', 'p') = 1 + VMF_DP, W('b', 't') = 1 + VMF_BT, W('m', 't') = 1 + VMF_MT,
	W('m', 'p') = 1 + VMF_MP, W('g', 'u') = 1 + VMF_GU,
};
#undef W

static enum proc_vmflag word_flag(const struct proc_cursor *w)
{
	unsigned int a, b;

	if (scan_left(w) != 2)
		return VMF_OTHER;
	a = (unsigned int)(unsigned char)w->p[0] - 'a';
	b = (unsigned int)(unsigned char)w->p[1] - 'a';
	if (a >= 26 || b >= 26 || !vmflag_words[a][b])
		return VMF_OTHER;
	return (enum proc_vmflag)(vmflag_words[a][b] - 1);
}

static uint64_t parse_vmflags(struct proc_cursor c)
{
	struct proc_cursor w;
	uint64_t flags = 0;

	for (scan_blanks(&c); scan_word(&c, &w); scan_blanks(&c))
		flags |= VMF_BIT(word_flag(&w));
	return flags;
}

/*
 * Of a path in maps the kernel escapes the newline and nothing else, not even the backslash. So
 * only
 * "\012" is decoded; any other backslash is the file's own.
 */
static int add_path(struct buf *paths, struct proc_cursor c)
{
	static const char escape[] = "\\012";
	const size_t n = sizeof(escape) - 1;

	while (c.p < c.end) {
		const char *bs = memchr(c.p, '\\', scan_left(&c));
		const char *stop = bs ? bs : c.end;
		int r = buf_append(paths, c.p, (size_t)(stop - c.p));

		if (r < 0)
			return r;
		c.p = stop;
		if (!bs)
			break;
		if (scan_left(&c) >= n && !memcmp(c.p, escape, n)) {
			r = buf_append(paths, "\n", 1);
			c.p += n;
		} else {
			r = buf_append(paths, "\\", 1);
			c.p++;
		}
		if (r < 0)
			return r;
	}
	return buf_append(paths, "", 1);
}

static bool parse_perms(struct proc_cursor *c, struct proc_vma *vma)
{
	const char *p = c->p;

	if (scan_left(c) < 4)
		return false;
	if ((p[0] != 'r' && p[0] != '-') || (p[1] != 'w' && p[1] != '-') ||
	    (p[2] != 'x' && p[2] != '-') || (p[3] != 'p' && p[3] != 's'))
		return false;
	vma->prot = (p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) |
		    (p[2] == 'x' ? PROT_EXEC : 0);
	vma->shared = p[3] == 's';
	c->p += 4;
	return true;
}

/* "start-end rwxp offset major:minor inode  path"; c is left at the path. */
static bool parse_header(struct proc_cursor *c, struct proc_vma *vma)
{
	bool ok = scan_u64(c, 16, &vma->start) && scan_char(c, '-') && scan_u64(c, 16, &vma->end) &&
		  scan_char(c, ' ') && parse_perms(c, vma) && scan_char(c, ' ') &&
		  scan_u64(c, 16, &vma->offset) && scan_char(c, ' ') &&
		  scan_u32(c, 16, &vma->dev_major) && scan_char(c, ':') &&
		  scan_u32(c, 16, &vma->dev_minor) && scan_char(c, ' ') &&
		  scan_field_u64(c, 10, &vma->ino);

	if (!ok || vma->start >= vma->end)
		return false;
	scan_blanks(c);
	return true;
}

/* Lines in KiB; two lines with one field are summed. */
static const struct vma_key {
	const char *key;
	size_t offset;
} vma_keys[] = {
	{ "Rss:", offsetof(struct proc_vma, rss_kib) },
	{ "Anonymous:", offsetof(struct proc_vma, anon_kib) },
	{ "KernelPageSize:", offsetof(struct proc_vma, page_kib) },
	{ "Locked:", offsetof(struct proc_vma, locked_kib) },
	{ "Private_Clean:", offsetof(struct proc_vma, private_kib) },
	{ "Private_Dirty:", offsetof(struct proc_vma, private_kib) },
	{ "Private_Hugetlb:", offsetof(struct proc_vma, hugetlb_kib) },
	{ "Shared_Clean:", offsetof(struct proc_vma, shared_kib) },
	{ "Shared_Dirty:", offsetof(struct proc_vma, shared_kib) },
	{ "Shared_Hugetlb:", offsetof(struct proc_vma, hugetlb_kib) },
	{ "Swap:", offsetof(struct proc_vma, swap_kib) },
};

/* A "Key: value" line of smaps. Comparing the first byte first keeps this out of the profile. */
static bool parse_detail(struct proc_cursor c, struct proc_vma *vma)
{
	if (scan_lit(&c, "VmFlags:")) {
		vma->vmflags = parse_vmflags(c);
		return true;
	}
	if (scan_lit(&c, "ProtectionKey:"))
		return scan_field_u32(&c, 10, &vma->pkey);
	for (size_t i = 0; i < sizeof(vma_keys) / sizeof(vma_keys[0]); i++) {
		const struct vma_key *k = &vma_keys[i];
		uint64_t v, *sum = (uint64_t *)((char *)vma + k->offset);

		if (*c.p == *k->key && scan_lit(&c, k->key))
			return scan_field_u64(&c, 10, &v) && !__builtin_add_overflow(*sum, v, sum);
	}
	return true;
}

/*
 * While parsing, vma->path holds an offset into paths, which still moves as it grows. Offset 0 is
 * the empty path.
 */
struct maps_state {
	struct proc_vmas vmas;
	struct buf paths;
	struct proc_cursor last; /* the path of the area before, undecoded */
	size_t last_at;
};

static int set_path(struct maps_state *st, struct proc_vma *vma, struct proc_cursor path)
{
	size_t n = scan_left(&path);

	if (!n)
		return 0;
	/* The areas of one file stand together: they share one copy. */
	if (n != scan_left(&st->last) || memcmp(path.p, st->last.p, n)) {
		size_t at = st->paths.len;
		int r = add_path(&st->paths, path);

		if (r < 0)
			return r;
		st->last = path;
		st->last_at = at;
	}
	vma->path = (const char *)(uintptr_t)st->last_at;
	return 0;
}

static int parse_line(struct maps_state *st, struct proc_cursor line)
{
	struct proc_vma *vma;

	if (line.p == line.end)
		return -EINVAL;
	/* Addresses begin with a digit or a small letter, keys with a capital. */
	if (*line.p >= 'A' && *line.p <= 'Z') {
		if (!st->vmas.n || !parse_detail(line, &st->vmas.v[st->vmas.n - 1]))
			return -EINVAL;
		return 0;
	}
	vma = vec_add(&st->vmas);
	if (!vma)
		return -ENOMEM;
	if (!parse_header(&line, vma))
		return -EINVAL;
	return set_path(st, vma, line);
}

static int parse_text(struct maps_state *st, struct proc_cursor c)
{
	struct proc_cursor line;
	int r = buf_append(&st->paths, "", 1);

	while (r == 0 && scan_line(&c, &line))
		r = parse_line(st, line);
	return r;
}

int proc_vmas_parse(const char *text, size_t len, struct proc_vmas *ret)
{
	struct maps_state st = { 0 };
	struct proc_vma *vma;
	int r = parse_text(&st, proc_cursor(text, len));

	st.vmas.paths = st.paths.data;
	if (r < 0) {
		proc_vmas_done(&st.vmas);
		return r;
	}
	vec_foreach (vma, &st.vmas)
		vma->path = st.vmas.paths + (uintptr_t)vma->path;
	*ret = st.vmas;
	return 0;
}

void proc_vmas_done(struct proc_vmas *vmas)
{
	free(vmas->paths);
	vmas->paths = NULL;
	vec_free(vmas);
}
