/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Build IDs of whole and broken ELF files. */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/files/build-id.h"
#include "tests/lib/test.h"

struct image {
	Elf64_Ehdr head;
	Elf64_Phdr ph[2];
	struct {
		Elf64_Nhdr h;
		char name[8];
		uint32_t data;
	} other;
	struct {
		Elf64_Nhdr h;
		char name[4];
		uint8_t id[20];
	} note;
};

static struct image make(void)
{
	struct image i = { 0 };

	memcpy(i.head.e_ident, ELFMAG, SELFMAG);
	i.head.e_ident[EI_CLASS] = ELFCLASS64;
	i.head.e_ident[EI_DATA] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB
									    : ELFDATA2MSB;
	i.head.e_phoff = offsetof(struct image, ph);
	i.head.e_phnum = 2;
	i.head.e_phentsize = sizeof(Elf64_Phdr);
	i.ph[0].p_type = PT_LOAD;
	i.ph[1].p_type = PT_NOTE;
	i.ph[1].p_offset = offsetof(struct image, other);
	i.ph[1].p_filesz = sizeof(i) - offsetof(struct image, other);
	i.other.h = (Elf64_Nhdr){ 5, 4, NT_GNU_BUILD_ID };
	memcpy(i.other.name, "Vend", 5);
	i.note.h = (Elf64_Nhdr){ 4, 20, NT_GNU_BUILD_ID };
	memcpy(i.note.name, "GNU", 4);
	memset(i.note.id, 0xab, sizeof(i.note.id));
	return i;
}

TEST(found_behind_other_notes)
{
	struct image i = make();
	uint8_t id[BUILD_ID_MAX];

	check_int((int)build_id_parse(&i, sizeof(i), id), 20);
	check(memcmp(id, i.note.id, 20) == 0);
}

/* Every length, in memory of just that size: a sanitizer sees any byte too far. */
TEST(cut_short)
{
	struct image i = make();
	uint8_t id[BUILD_ID_MAX];
	size_t n;

	for (n = 0; n < sizeof(i); n++) {
		void *cut = malloc(n ? n : 1);

		memcpy(cut, &i, n);
		check_int((int)build_id_parse(cut, n, id), 0);
		free(cut);
	}
}

TEST(numbers_out_of_range)
{
	uint8_t id[BUILD_ID_MAX];
	struct image i = make();

	i.note.h.n_descsz = BUILD_ID_MAX + 1;
	check_int((int)build_id_parse(&i, sizeof(i), id), 0);
	i = make();
	i.other.h.n_namesz = UINT32_MAX;
	check_int((int)build_id_parse(&i, sizeof(i), id), 0);
	i = make();
	i.head.e_phoff = UINT64_MAX - 8;
	check_int((int)build_id_parse(&i, sizeof(i), id), 0);
	i = make();
	i.ph[1].p_filesz = UINT64_MAX;
	check_int((int)build_id_parse(&i, sizeof(i), id), 0);
	i = make();
	i.head.e_ident[EI_DATA] ^= ELFDATA2LSB ^ ELFDATA2MSB;
	check_int((int)build_id_parse(&i, sizeof(i), id), 0);
}

/* A descriptor that cannot be read itself, and a file that is no program. */
TEST(of_files)
{
	uint8_t id[BUILD_ID_MAX];
	int proc = open("/proc", O_PATH | O_DIRECTORY), fd = open("/proc/self/exe", O_PATH);

	check(build_id_read(proc, fd, id) >= 0);
	close(fd);
	fd = open("/proc/version", O_RDONLY);
	check_int(build_id_read(proc, fd, id), 0);
	close(fd);
	close(proc);
}

TEST_MAIN()
