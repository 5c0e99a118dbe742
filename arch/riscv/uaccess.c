/* What user_copy.S's accesses have in common: the look at the bounds, and the end of one that faults. */
#include "arch/uaccess.h"
#include "arch/trap.h"
#include "arch/user.h"
#include "lib/error.h"
#include "arch_private.h"
#include "offsets.h"

_Static_assert(UACCESS_ERROR == ERR_RANGE, "user_copy.S");

extern const char uaccess_begin[], uaccess_end[], uaccess_fault[];
extern int uaccess_copy(void *to, const void *from, size_t bytes);
extern int uaccess_load_word(uint64_t from, uint32_t *word);
extern int uaccess_store_word(uint64_t to, uint32_t word);

bool user_range_valid(uint64_t address, size_t bytes)
{
    return bytes <= USER_END && address <= USER_END - bytes;
}

int copy_from_user(void *to, uint64_t from, size_t bytes)
{
    return user_range_valid(from, bytes) ? uaccess_copy(to, (const void *)from, bytes) : ERR_RANGE;
}

int copy_to_user(uint64_t to, const void *from, size_t bytes)
{
    return user_range_valid(to, bytes) ? uaccess_copy((void *)to, from, bytes) : ERR_RANGE;
}

int user_load_word(uint64_t from, uint32_t *word)
{
    bool right = user_range_valid(from, sizeof(*word)) && IS_ALIGNED(from, sizeof(*word));
    return right ? uaccess_load_word(from, word) : ERR_RANGE;
}

int user_store_word(uint64_t to, uint32_t word)
{
    bool right = user_range_valid(to, sizeof(word)) && IS_ALIGNED(to, sizeof(word));
    return right ? uaccess_store_word(to, word) : ERR_RANGE;
}

bool uaccess_is_at(uint64_t pc)
{
    return pc - (uint64_t)uaccess_begin < (uint64_t)(uaccess_end - uaccess_begin);
}

uint64_t uaccess_fault_pc(void)
{
    return (uint64_t)uaccess_fault;
}
