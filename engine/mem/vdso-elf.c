/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/mem/vdso-elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

/* A vDSO has about ten functions. */
enum { SYMBOLS_MAX = 4096 };

struct elf {
	const uint8_t *text;
	size_t len;
	uint64_t base; /* address that the start of the text was linked for */
	/* offsets of the tables; 0: there is none */
	uint64_t symbols, strings, strings_len, hash, gnu_hash;
};

/* Bytes that are not aligned, and maybe not there. */
static int get(const struct elf *e, uint64_t at, void *ret, size_t n)
{
	if (at > e->len || n > e->len - at)
		return -EINVAL;
	memcpy(ret, e->text + at, n);
	return 0;
}

static int read_dynamic(struct elf *e, uint64_t at, uint64_t len)
{
	uint64_t i;

	for (i = 0; i < len / sizeof(Elf64_Dyn); i++) {
		Elf64_Dyn d;

		if (get(e, at + i * sizeof(d), &d, sizeof(d)) < 0)
			return -EINVAL;
		switch (d.d_tag) {
		case DT_NULL:
			return 0;
		case DT_SYMTAB:
			e->symbols = d.d_un.d_ptr - e->base;
			break;
		case DT_STRTAB:
			e->strings = d.d_un.d_ptr - e->base;
			break;
		case DT_STRSZ:
			e->strings_len = d.d_un.d_val;
			break;
		case DT_HASH:
			e->hash = d.d_un.d_ptr - e->base;
			break;
		case DT_GNU_HASH:
			e->gnu_hash = d.d_un.d_ptr - e->base;
			break;
		default:
			break;
		}
	}
	return 0;
}

static int read_headers(struct elf *e)
{
	Elf64_Phdr p, dynamic = { .p_type = PT_NULL };
	bool loaded = false;
	Elf64_Ehdr h;
	size_t i;

	if (get(e, 0, &h, sizeof(h)) < 0 || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
	    h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_type != ET_DYN ||
	    h.e_phentsize != sizeof(Elf64_Phdr))
		return -EINVAL;
	for (i = 0; i < h.e_phnum; i++) {
		if (get(e, h.e_phoff + i * sizeof(p), &p, sizeof(p)) < 0)
			return -EINVAL;
		if (p.p_type == PT_LOAD && !loaded) {
			e->base = p.p_vaddr - p.p_offset;
			loaded = true;
		} else if (p.p_type == PT_DYNAMIC) {
			dynamic = p;
		}
	}
	if (!loaded || dynamic.p_type == PT_NULL ||
	    read_dynamic(e, dynamic.p_offset, dynamic.p_filesz) < 0)
		return -EINVAL;
	return e->symbols && e->strings && e->strings <= e->len &&
			       e->strings_len <= e->len - e->strings
		       ? 0
		       : -EINVAL;
}

/* The highest number in the chains of a GNU hash table, which has no count; plus one. */
static int count_gnu(const struct elf *e, uint32_t *ret)
{
	uint32_t head[4], i, last = 0, word;
	uint64_t at = e->gnu_hash + sizeof(head);

	if (get(e, e->gnu_hash, head, sizeof(head)) < 0 || head[0] > SYMBOLS_MAX ||
	    head[2] > SYMBOLS_MAX)
		return -EINVAL;
	at += (uint64_t)head[2] * 8; /* the filter */
	for (i = 0; i < head[0]; i++) {
		if (get(e, at + (uint64_t)i * 4, &word, 4) < 0)
			return -EINVAL;
		last = word > last ? word : last;
	}
	*ret = head[1];
	if (last < head[1])
		return 0; /* nothing but what comes before the chains */
	at += (uint64_t)head[0] * 4;
	/* the last bit of a word ends its chain */
	do {
		if (last > SYMBOLS_MAX ||
		    get(e, at + (uint64_t)(last++ - head[1]) * 4, &word, 4) < 0)
			return -EINVAL;
	} while (!(word & 1));
	*ret = last;
	return 0;
}

static int count_symbols(const struct elf *e, uint32_t *ret)
{
	uint32_t head[2];

	if (!e->hash)
		return e->gnu_hash ? count_gnu(e, ret) : -EINVAL;
	if (get(e, e->hash, head, sizeof(head)) < 0)
		return -EINVAL;
	*ret = head[1];
	return 0;
}

static int read_symbol(const struct elf *e, uint32_t i, struct vdso_functions *ret)
{
	struct vdso_function *f;
	const char *name;
	Elf64_Sym s;

	if (get(e, e->symbols + (uint64_t)i * sizeof(s), &s, sizeof(s)) < 0)
		return -EINVAL;
	if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_shndx == SHN_UNDEF ||
	    ELF64_ST_BIND(s.st_info) == STB_LOCAL)
		return 0;
	if (s.st_name >= e->strings_len)
		return -EINVAL;
	name = (const char *)e->text + e->strings + s.st_name;
	if (!memchr(name, 0, e->strings_len - s.st_name) || s.st_value < e->base ||
	    s.st_value - e->base >= e->len || s.st_size > e->len - (s.st_value - e->base))
		return -EINVAL;
	f = vec_add(ret);
	if (!f)
		return -ENOMEM;
	*f = (struct vdso_function){ name, s.st_value - e->base, s.st_size };
	return 0;
}

int vdso_functions_read(const uint8_t *text, size_t len, struct vdso_functions *ret)
{
	struct elf e = { .text = text, .len = len };
	struct vdso_functions list = { 0 };
	uint32_t i, n;
	int r = read_headers(&e);

	if (r == 0)
		r = count_symbols(&e, &n);
	if (r == 0 && n > SYMBOLS_MAX)
		r = -EINVAL;
	for (i = 0; r == 0 && i < n; i++)
		r = read_symbol(&e, i, &list);
	if (r < 0)
		vec_free(&list);
	else
		*ret = list;
	return r;
}

/* ---- jumps ---- */

static const struct vdso_function *find(const struct vdso_functions *all, const char *name)
{
	const struct vdso_function *f;

	vec_foreach (f, all)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static const struct vdso_jump *jump_from(const struct vdso_jumps *jumps, uint64_t at)
{
	const struct vdso_jump *j;

	vec_foreach (j, jumps)
		if (j->from == at)
			return j;
	return NULL;
}

int vdso_jumps_plan(const struct vdso_functions *old, const struct vdso_functions *now,
		    struct vdso_jumps *ret, const char **ret_name)
{
	const struct vdso_function *f;

	vec_foreach (f, old) {
		const struct vdso_function *same = find(now, f->name);
		struct vdso_jump *j;

		if (!same || jump_from(ret, f->at))
			continue;
		j = vec_add(ret);
		if (!j)
			return -ENOMEM;
		*j = (struct vdso_jump){ f->at, same->at };
	}
	/* it is enough that one of the names of a function is known */
	vec_foreach (f, old) {
		*ret_name = f->name;
		if (!jump_from(ret, f->at))
			return VDSO_LACKS;
	}
	return 0;
}

bool vdso_jumps_stay(const struct vdso_jumps *jumps)
{
	const struct vdso_jump *j;

	vec_foreach (j, jumps)
		if (j->from != j->to)
			return false;
	return true;
}

const char *vdso_too_short(const struct vdso_functions *old, size_t jump_len)
{
	const struct vdso_function *f, *other;

	vec_foreach (f, old) {
		if (f->size < jump_len)
			return f->name;
		vec_foreach (other, old)
			if (other->at > f->at && other->at - f->at < jump_len)
				return f->name;
	}
	return NULL;
}
