/* `kernel.quarantine=`: frames that the kernel and its processes free wait in a quarantine, and one that is written to meanwhile is a
 * panic. mm/frame/frame_quarantine.h. */
#ifndef KERNEL_QUARANTINE_H
#define KERNEL_QUARANTINE_H

/** quarantine_prepare - attach it to the kernel's frames, if there is to be one. Boot hart, alone. 0 or ERR_NO_MEMORY. */
int quarantine_prepare(void);

#endif
