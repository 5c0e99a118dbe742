/* What is mapped in an address space: see space.h. For now every page has its frame from the beginning. */
#include "arch/paging.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/vm/space_private.h"

#define USER_RIGHTS (PTE_R | PTE_W | PTE_X)

struct removal {
    struct table_gather gather;
    struct frame_refs *refs;
};

static void put_frames(struct table_gather *gather, const struct table_leaf *leaf)
{
    struct removal *removal = CONTAINER_OF(gather, struct removal, gather);
    frame_put(removal->refs, leaf->pfn, 0);
}

static uint64_t leaf_rights(uint64_t rights)
{
    return rights | PTE_U | (rights & PTE_W ? PTE_R : 0);
}

static bool range_is_fit(vaddr_t vaddr, size_t bytes)
{
    return vaddr.value >= USER_BASE && vaddr.value <= USER_END && bytes <= USER_END - vaddr.value;
}

int space_unmap(struct space *space, vaddr_t vaddr, size_t bytes)
{
    struct removal removal = {TABLE_GATHER_INIT, space->pool->refs};
    removal.gather.removed = put_frames;
    bytes = pages_of(bytes) * PAGE_BYTES;
    if (!range_is_fit(vaddr, bytes))
        return ERR_INVALID;
    int error = page_table_unmap(&space->table, vaddr, bytes, &removal.gather);
    paging_flush();
    page_table_release(&space->table, &removal.gather);
    return error;
}

static int map_page(struct space *space, vaddr_t vaddr, uint64_t rights)
{
    pfn_t pfn = frame_alloc(space->pool->refs->fa, 0, FRAME_ZERO);
    if (pfn_is_none(pfn))
        return ERR_NO_MEMORY;
    int error = page_table_map(&space->table, vaddr, pfn_to_paddr(pfn), PAGE_BYTES, rights, 0);
    if (error)
        frame_put(space->pool->refs, pfn, 0);
    return error;
}

static int map_pages(struct space *space, vaddr_t vaddr, size_t npages, uint64_t rights)
{
    for (size_t i = 0; i < npages; i++) {
        int error = map_page(space, VADDR(vaddr.value + i * PAGE_BYTES), rights);
        if (error) {
            if (i > 0)
                space_unmap(space, vaddr, i * PAGE_BYTES);
            return error;
        }
    }
    return 0;
}

int space_map(struct space *space, vaddr_t *vaddr, size_t bytes, uint64_t rights, unsigned flags)
{
    size_t npages = pages_of(bytes);
    struct lock_node node;
    if (bytes == 0 || rights & ~USER_RIGHTS)
        return ERR_INVALID;
    if (!pte_rights_valid(leaf_rights(rights)))
        return rights ? ERR_PERMISSION : ERR_UNSUPPORTED;
    if (flags & (SPACE_FIXED | SPACE_NOREPLACE)) {
        if (!range_is_fit(*vaddr, npages * PAGE_BYTES))
            return ERR_RANGE;
        if (!(flags & SPACE_NOREPLACE))
            space_unmap(space, *vaddr, bytes);
        return map_pages(space, *vaddr, npages, leaf_rights(rights));
    }
    lock_acquire(&space->brk_lock, &node);
    size_t page = space->next;
    if (npages <= USER_MMAP_END / PAGE_BYTES - page)
        space->next += npages;
    lock_release(&space->brk_lock, &node);
    *vaddr = page_to_vaddr(page);
    if (page + npages > USER_MMAP_END / PAGE_BYTES)
        return ERR_NO_MEMORY;
    return map_pages(space, *vaddr, npages, leaf_rights(rights));
}

int space_protect(struct space *space, vaddr_t vaddr, size_t bytes, uint64_t rights)
{
    struct table_gather gather = TABLE_GATHER_INIT;
    bytes = pages_of(bytes) * PAGE_BYTES;
    if (!range_is_fit(vaddr, bytes))
        return ERR_RANGE;
    if (!pte_rights_valid(leaf_rights(rights)))
        return rights ? ERR_PERMISSION : ERR_UNSUPPORTED;
    int error = bytes ? page_table_protect(&space->table, vaddr, bytes, leaf_rights(rights), &gather) : 0;
    paging_flush();
    page_table_release(&space->table, &gather);
    return error;
}

vaddr_t space_brk(struct space *space, vaddr_t end)
{
    struct lock_node node;
    lock_acquire(&space->brk_lock, &node);
    size_t wanted = pages_of(end.value);
    if (end.value >= USER_HEAP_BASE && end.value <= USER_HEAP_END) {
        int error = 0;
        if (wanted > space->brk)
            error =
                map_pages(space, page_to_vaddr(space->brk), wanted - space->brk, leaf_rights(PTE_R | PTE_W));
        else if (wanted < space->brk)
            error = space_unmap(space, page_to_vaddr(wanted), (space->brk - wanted) * PAGE_BYTES);
        if (!error) {
            space->brk = wanted;
            space->brk_end = end.value;
        }
    }
    end.value = space->brk_end;
    lock_release(&space->brk_lock, &node);
    return end;
}

int space_fault(struct space *space, vaddr_t vaddr, uint64_t access)
{
    struct table_leaf leaf;
    if (vaddr.value >= USER_END || !page_table_find(&space->table, vaddr, &leaf))
        return ERR_RANGE;
    paging_flush_page(vaddr, 0);
    return leaf.rights & access ? 0 : ERR_PERMISSION;
}

/* The rest of the page that an address is in, seen by the kernel. */
static int show(struct space *space, vaddr_t vaddr, size_t count, uint8_t **at, size_t *shown)
{
    paddr_t paddr;
    if (vaddr.value >= USER_END || !page_table_translate(&space->table, vaddr, &paddr))
        return ERR_RANGE;
    *at = paddr_to_direct(paddr);
    *shown = MIN(count, PAGE_BYTES - vaddr.value % PAGE_BYTES);
    return 0;
}

int space_write(struct space *space, vaddr_t vaddr, const void *bytes, size_t count)
{
    uint8_t *at;
    for (size_t done = 0, n; done < count; done += n) {
        int error = show(space, VADDR(vaddr.value + done), count - done, &at, &n);
        if (error)
            return error;
        memcpy(at, (const uint8_t *)bytes + done, n);
    }
    return 0;
}

int space_read(struct space *space, vaddr_t vaddr, void *bytes, size_t count)
{
    uint8_t *at;
    for (size_t done = 0, n; done < count; done += n) {
        int error = show(space, VADDR(vaddr.value + done), count - done, &at, &n);
        if (error)
            return error;
        memcpy((uint8_t *)bytes + done, at, n);
    }
    return 0;
}
