/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of bits and values, for the tables that field options speak of ("mmap.prot", "sk" ...). */
#pragma once

#include <stdint.h>
#include <stdio.h>

/* Writes the bits of a value by name, joined by "|"; what has no name is a hexadecimal number. */
void names_print_flags(FILE *out, const char *table, uint64_t value);

/* The name of a value of that field, or NULL. */
const char *names_of_value(const char *table, const char *field, uint64_t value);
