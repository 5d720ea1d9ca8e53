/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/files/build-id.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

/* Linkers put the notes right behind the headers. */
enum { LOOK_AT = 1 << 20 };

struct bytes {
	const uint8_t *data;
	size_t len;
};

/* A part of b, or nothing if it is not all there. */
static struct bytes part(struct bytes b, uint64_t offset, uint64_t len)
{
	if (offset > b.len || len > b.len - offset)
		return (struct bytes){ NULL, 0 };
	return (struct bytes){ b.data + offset, (size_t)len };
}

static bool copy(struct bytes b, uint64_t offset, void *ret, size_t len)
{
	struct bytes p = part(b, offset, len);

	if (p.data)
		memcpy(ret, p.data, len);
	return p.data != NULL;
}

static uint64_t round_up(uint64_t n)
{
	return (n + 3) & ~3ull;
}

static size_t find_note(struct bytes notes, uint8_t ret[BUILD_ID_MAX])
{
	uint64_t at = 0;
	Elf32_Nhdr h; /* the same in 64-bit files */

	while (copy(notes, at, &h, sizeof(h))) {
		uint64_t name = at + sizeof(h), desc = name + round_up(h.n_namesz);
		struct bytes who = part(notes, name, h.n_namesz);

		if (h.n_type == NT_GNU_BUILD_ID && who.data && who.len == sizeof(ELF_NOTE_GNU) &&
		    memcmp(who.data, ELF_NOTE_GNU, who.len) == 0 && h.n_descsz <= BUILD_ID_MAX &&
		    copy(notes, desc, ret, h.n_descsz))
			return h.n_descsz;
		at = desc + round_up(h.n_descsz);
	}
	return 0;
}

/* Where the notes of program header i are; size 0: it has none. */
static bool notes_at(struct bytes file, bool wide, uint64_t at, uint64_t *ret_offset,
		     uint64_t *ret_size)
{
	Elf64_Phdr p64;
	Elf32_Phdr p32;

	if (wide ? !copy(file, at, &p64, sizeof(p64)) : !copy(file, at, &p32, sizeof(p32)))
		return false;
	*ret_offset = wide ? p64.p_offset : p32.p_offset;
	*ret_size = (wide ? p64.p_type : p32.p_type) != PT_NOTE ? 0
		    : wide					? p64.p_filesz
								: p32.p_filesz;
	return true;
}

size_t build_id_parse(const void *data, size_t len, uint8_t ret[BUILD_ID_MAX])
{
	struct bytes file = { data, len };
	uint64_t table, offset, size;
	unsigned int i, count, step;
	Elf64_Ehdr e64 = { 0 };
	Elf32_Ehdr e32 = { 0 };
	bool wide;

	if (!copy(file, 0, e64.e_ident, EI_NIDENT) || memcmp(e64.e_ident, ELFMAG, SELFMAG) != 0 ||
	    e64.e_ident[EI_DATA] != (__BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB))
		return 0;
	wide = e64.e_ident[EI_CLASS] == ELFCLASS64;
	if (wide ? !copy(file, 0, &e64, sizeof(e64)) : !copy(file, 0, &e32, sizeof(e32)))
		return 0;
	table = wide ? e64.e_phoff : e32.e_phoff;
	count = wide ? e64.e_phnum : e32.e_phnum;
	step = wide ? e64.e_phentsize : e32.e_phentsize;
	for (i = 0; i < count && step; i++) {
		size_t n = 0;

		if (table > len ||
		    !notes_at(file, wide, table + (uint64_t)i * step, &offset, &size))
			return 0;
		if (size)
			n = find_note(part(file, offset, size), ret);
		if (n)
			return n;
	}
	return 0;
}

int build_id_read(int proc, int fd, uint8_t ret[BUILD_ID_MAX])
{
	cleanup_free uint8_t *data = malloc(LOOK_AT);
	cleanup_fd int file = -EBADF;
	char self[32];
	size_t len = 0;

	if (!data)
		return -ENOMEM;
	snprintf(self, sizeof(self), "self/fd/%d", fd);
	file = openat(proc, self, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0)
		return -errno;
	while (len < LOOK_AT) {
		ssize_t n = pread(file, data + len, LOOK_AT - len, (off_t)len);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		/* most files are no programs */
		if (len >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) != 0)
			return 0;
	}
	return (int)build_id_parse(data, len, ret);
}
