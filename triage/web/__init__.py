"""Past cases over HTTP: an interface for programs, and a page for people.

    GET /                       the page: search, and resolve the key of a report
    GET /case                   the page of the case that a key means
    GET /api/cases              search
    GET /api/cases/{study_uid}  one case
    GET /api/case-keys/{key}    the case that the key of a report means

Rule: nothing is answered to anybody whose name is not known, and every look is kept (cases/looks).
"""
