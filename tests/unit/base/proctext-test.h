/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the procfs parsers share. */
#pragma once

#define LEN(text) (sizeof(text) - 1)

/* Cut at every byte, the text must give an error or a result, and must not be read behind its end.
 */
#define EVERY_CUT(text, type, parse, done)                         \
	do {                                                       \
		for (size_t cut_ = 0; cut_ <= LEN(text); cut_++) { \
			char *copy_ = malloc(cut_ ? cut_ : 1);     \
			type out_ = { 0 };                         \
			int r_;                                    \
                                                                   \
			memcpy(copy_, text, cut_);                 \
			r_ = parse(copy_, cut_, &out_);            \
			check(r_ == 0 || r_ == -EINVAL);           \
			if (r_ == 0)                               \
				done(&out_);                       \
			free(copy_);                               \
		}                                                  \
	} while (0)
