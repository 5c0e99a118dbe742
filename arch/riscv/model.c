/* The page that the kernel and the model share; see arch/model.h. */
#include "arch/model.h"
#include "arch/image.h"
#include "lib/error.h"

struct model_page model_page ALIGNED(PAGE_BYTES);
bool model_present;

static const char *const names[MODEL_STAT_COUNT] = {
#define MODEL_STAT_NAME(id, name) [MODEL_STAT_##id] = name,
    MODEL_CYCLES_LIST(MODEL_STAT_NAME) MODEL_EVENTS_LIST(MODEL_STAT_NAME)
#undef MODEL_STAT_NAME
};

int model_hello(void)
{
    const volatile struct model_page *page = &model_page;
    MODEL_HINT_WITH(MODEL_HINT_HELLO, image_to_paddr(&model_page).value);
    if (page->magic != MODEL_PAGE_MAGIC)
        return ERR_NOT_FOUND;
    if (page->version != MODEL_PAGE_VERSION)
        return ERR_UNSUPPORTED;
    model_present = true;
    return 0;
}

const char *model_stat_name(enum model_stat stat)
{
    return names[stat];
}

uint64_t model_stat_sum(enum model_stat stat, unsigned nharts)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < nharts; i++)
        sum += ((const volatile struct model_page *)&model_page)->stats[i][stat];
    return sum;
}
